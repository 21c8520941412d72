#include "kvcache/plan.h"

#include "base/error.h"

namespace lowkey {
namespace {

template <typename T>
std::optional<T> typed_setting(const Settings& settings, const std::string& name,
                               const std::string& owner, const char* type) {
    const auto found = settings.find(name);
    if (found == settings.end()) return std::nullopt;
    const T* value = std::get_if<T>(&found->second);
    if (value == nullptr) {
        throw UsageError("setting '" + name + "' is not " + type, owner, "check the plan");
    }
    return *value;
}

}  // namespace

bool is_plain(const CodecSpec& spec) {
    const CodecSpec plain;
    return spec.map.name == plain.map.name && spec.map.settings.empty() &&
           spec.store.name == plain.store.name && spec.store.settings.empty();
}

int64_t num_coordinates(const CodecSpec& spec, int64_t dim) {
    const auto encode = spec.map.tensors.find("encode");
    return encode == spec.map.tensors.end() ? dim : encode->second->dim(1);
}

std::string describe(const CodecSpec& spec) {
    const CodecSpec plain;
    const bool mapped = spec.map.name != plain.map.name;
    if (!mapped) return spec.store.name;
    std::string text = spec.map.name;
    if (const auto encode = spec.map.tensors.find("encode"); encode != spec.map.tensors.end())
        text.append(" ").append(std::to_string(encode->second->dim(1)));
    if (spec.store.name != plain.store.name) text.append(", ").append(spec.store.name);
    return text;
}

CachePlan CachePlan::dense(int64_t num_layers, int64_t num_kv_heads) {
    CachePlan plan;
    plan.layers.assign(static_cast<size_t>(num_layers),
                       std::vector<HeadPlan>(static_cast<size_t>(num_kv_heads)));
    return plan;
}

std::optional<int64_t> integer_setting(const Settings& settings, const std::string& name,
                                       const std::string& owner) {
    return typed_setting<int64_t>(settings, name, owner, "a whole number");
}

std::optional<double> number_setting(const Settings& settings, const std::string& name,
                                     const std::string& owner) {
    const auto found = settings.find(name);
    if (found != settings.end() && std::holds_alternative<int64_t>(found->second))
        return static_cast<double>(std::get<int64_t>(found->second));
    return typed_setting<double>(settings, name, owner, "a number");
}

std::optional<bool> bool_setting(const Settings& settings, const std::string& name,
                                 const std::string& owner) {
    return typed_setting<bool>(settings, name, owner, "true or false");
}

std::optional<std::string> string_setting(const Settings& settings, const std::string& name,
                                          const std::string& owner) {
    return typed_setting<std::string>(settings, name, owner, "a string");
}

}  // namespace lowkey
