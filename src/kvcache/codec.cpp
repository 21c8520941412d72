#include "kvcache/codec.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "kvcache/dense_codec.h"
#include "kvcache/low_rank_codec.h"

namespace lowkey {
namespace {

struct CodecRow {
    const char* name;
    std::shared_ptr<const KeyCodec> (*make_key)(const CodecSpec&, const CodecContext&);
    std::shared_ptr<const ValueCodec> (*make_value)(const CodecSpec&, const CodecContext&);
    // What a spec may have; all else is refused by name.
    std::vector<std::string_view> key_settings;
    std::vector<std::string_view> value_settings;
    std::vector<std::string_view> tensors;
};

// A new codec is one file and one row here.
const std::vector<CodecRow>& codecs() {
    static const std::vector<CodecRow> table = {
        {"dense", make_dense_key_codec, make_dense_value_codec, {"dtype"}, {"dtype"}, {}},
        {"low_rank",
         make_low_rank_key_codec,
         make_low_rank_value_codec,
         {"dtype", "space"},
         {"dtype"},
         {"encode", "decode"}},
    };
    return table;
}

const CodecRow& find_codec(const CodecSpec& spec, const CodecContext& context) {
    std::string known;
    for (const CodecRow& row : codecs()) {
        if (spec.name == row.name) return row;
        known += (known.empty() ? "" : ", ") + std::string(row.name);
    }
    throw UnsupportedError("unknown codec '" + spec.name + "'", context.where,
                           "known are " + known);
}

/// Refuses what a spec has and its codec does not know: a setting that is not understood would make
/// another cache than the plan says.
template <typename Map>
void check_names(const CodecSpec& spec, const Map& named, const char* kind,
                 const std::vector<std::string_view>& known, const CodecContext& context) {
    for (const auto& [name, value] : named) {
        if (std::find(known.begin(), known.end(), name) != known.end()) continue;
        throw UsageError("codec '" + spec.name + "' has a " + kind + " '" + name +
                             "' that this lowkey does not know",
                         context.where, "make the plan again with this lowkey");
    }
}

}  // namespace

std::shared_ptr<const KeyCodec> make_key_codec(const CodecSpec& spec, const CodecContext& context) {
    const CodecRow& row = find_codec(spec, context);
    check_names(spec, spec.settings, "setting", row.key_settings, context);
    check_names(spec, spec.tensors, "tensor", row.tensors, context);
    return row.make_key(spec, context);
}

std::shared_ptr<const ValueCodec> make_value_codec(const CodecSpec& spec,
                                                   const CodecContext& context) {
    const CodecRow& row = find_codec(spec, context);
    check_names(spec, spec.settings, "setting", row.value_settings, context);
    check_names(spec, spec.tensors, "tensor", row.tensors, context);
    return row.make_value(spec, context);
}

DType codec_dtype(const CodecSpec& spec, const CodecContext& context) {
    const auto name = string_setting(spec.settings, "dtype", context.where);
    if (!name) return context.dtype;
    const auto dtype = parse_dtype(*name);
    if (dtype != DType::kBF16 && dtype != DType::kF32) {
        throw UsageError("codec '" + spec.name + "' cannot store dtype '" + *name + "'",
                         context.where, "use bf16 or f32");
    }
    return *dtype;
}

std::shared_ptr<const Tensor> codec_tensor(const CodecSpec& spec, const std::string& name,
                                           const Shape& shape, const CodecContext& context) {
    const auto found = spec.tensors.find(name);
    if (found == spec.tensors.end() || found->second == nullptr) {
        throw UsageError("codec '" + spec.name + "' has no tensor '" + name + "'", context.where,
                         "make the plan again");
    }
    const Tensor& tensor = *found->second;
    bool fits = tensor.dtype() == DType::kF32 && tensor.shape().size() == shape.size();
    for (size_t i = 0; fits && i < shape.size(); ++i)
        fits = shape[i] < 0 || tensor.dim(i) == shape[i];
    if (!fits) {
        throw UsageError("tensor '" + name + "' of codec '" + spec.name + "' is " +
                             std::string(dtype_name(tensor.dtype())) + " " +
                             to_string(tensor.shape()) + ", not f32 " + to_string(shape),
                         context.where, "the plan is for another model, or damaged: make it again");
    }
    return found->second;
}

}  // namespace lowkey
