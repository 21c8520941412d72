#include "kvcache/stores.h"

#include <algorithm>

#include "base/error.h"

namespace lowkey {
namespace {

struct StoreRow {
    const char* name;
    std::shared_ptr<const KeyStore> (*make_key)(const CodecPart&, const StoreContext&);
    std::shared_ptr<const ValueStore> (*make_value)(const CodecPart&, const StoreContext&);
    // What a part may have; all else is refused by name.
    std::vector<std::string> settings;
    std::vector<std::string> tensors;
};

// A new store is one file and one row here.
const std::vector<StoreRow>& stores() {
    static const std::vector<StoreRow> table = {
        {"float", make_float_key_store, make_float_value_store, {"dtype"}, {}},
        {"coded",
         make_coded_key_store,
         make_coded_value_store,
         {"token_scale"},
         {"widths", "steps"}},
    };
    return table;
}

const StoreRow& find_store(const CodecPart& part, const std::string& where) {
    std::string known;
    for (const StoreRow& row : stores()) {
        if (part.name == row.name) {
            check_part(part, "store", row.settings, row.tensors, where);
            return row;
        }
        known += (known.empty() ? "" : ", ") + std::string(row.name);
    }
    throw UnsupportedError("unknown store '" + part.name + "'", where, "known are " + known);
}

}  // namespace

std::shared_ptr<const KeyStore> make_key_store(const CodecPart& part, const StoreContext& context) {
    return find_store(part, context.where).make_key(part, context);
}

std::shared_ptr<const ValueStore> make_value_store(const CodecPart& part,
                                                   const StoreContext& context) {
    return find_store(part, context.where).make_value(part, context);
}

void check_part(const CodecPart& part, const char* kind, const std::vector<std::string>& settings,
                const std::vector<std::string>& tensors, const std::string& where) {
    const auto check = [&](const auto& named, const char* what,
                           const std::vector<std::string>& known) {
        for (const auto& [name, value] : named) {
            if (std::find(known.begin(), known.end(), name) != known.end()) continue;
            throw UsageError(std::string(kind) + " '" + part.name + "' has a " + what + " '" +
                                 name + "' that this lowkey does not know",
                             where, "make the plan again with this lowkey");
        }
    };
    check(part.settings, "setting", settings);
    check(part.tensors, "tensor", tensors);
}

std::shared_ptr<const Tensor> part_tensor(const CodecPart& part, const std::string& name,
                                          const Shape& shape, const std::string& where) {
    const auto found = part.tensors.find(name);
    if (found == part.tensors.end() || found->second == nullptr) {
        throw UsageError("'" + part.name + "' has no tensor '" + name + "'", where,
                         "make the plan again");
    }
    const Tensor& tensor = *found->second;
    bool fits = tensor.dtype() == DType::kF32 && tensor.shape().size() == shape.size();
    for (size_t i = 0; fits && i < shape.size(); ++i)
        fits = shape[i] < 0 || tensor.dim(i) == shape[i];
    if (!fits) {
        throw UsageError("tensor '" + name + "' of '" + part.name + "' is " +
                             std::string(dtype_name(tensor.dtype())) + " " +
                             to_string(tensor.shape()) + ", not f32 " + to_string(shape),
                         where, "the plan is for another model, or damaged: make it again");
    }
    return found->second;
}

}  // namespace lowkey
