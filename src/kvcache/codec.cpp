#include "kvcache/codec.h"

#include <array>

#include "base/error.h"
#include "kvcache/dense_codec.h"
#include "kvcache/low_rank_codec.h"

namespace lowkey {
namespace {

struct CodecRow {
    const char* name;
    std::shared_ptr<const KeyCodec> (*make_key)(const CodecSpec&, const CodecContext&);
    std::shared_ptr<const ValueCodec> (*make_value)(const CodecSpec&, const CodecContext&);
};

// A new codec is one file and one row here.
constexpr std::array<CodecRow, 2> kCodecs = {{
    {"dense", make_dense_key_codec, make_dense_value_codec},
    {"low_rank", make_low_rank_key_codec, make_low_rank_value_codec},
}};

const CodecRow& find_codec(const CodecSpec& spec, const CodecContext& context) {
    std::string known;
    for (const CodecRow& row : kCodecs) {
        if (spec.name == row.name) return row;
        known += (known.empty() ? "" : ", ") + std::string(row.name);
    }
    throw UnsupportedError("unknown codec '" + spec.name + "'", context.where,
                           "known are " + known);
}

}  // namespace

std::shared_ptr<const KeyCodec> make_key_codec(const CodecSpec& spec, const CodecContext& context) {
    return find_codec(spec, context).make_key(spec, context);
}

std::shared_ptr<const ValueCodec> make_value_codec(const CodecSpec& spec,
                                                   const CodecContext& context) {
    return find_codec(spec, context).make_value(spec, context);
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
