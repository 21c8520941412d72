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
