#include "compress/token_plan.h"

#include <fmt/format.h>

#include "base/error.h"

namespace lowkey {

PlanFile make_token_plan(const PlanRequest& request, const std::string& method,
                         const PolicyChoice& choose) {
    const ModelConfig& config = request.model->config();
    PlanFile file;
    file.method = method;
    file.fingerprint = request.model->fingerprint();
    file.head_dim = config.head_dim;
    file.plan = CachePlan::dense(config.num_layers, config.num_kv_heads);
    file.plan.prefill_attention = request.prefill_attention.value_or(PrefillAttention::kExact);
    for (int64_t layer = 0; layer < config.num_layers; ++layer) {
        if (config.sliding_window(layer) > 0) continue;
        auto& heads = file.plan.layers[static_cast<size_t>(layer)];
        for (int64_t head = 0; head < config.num_kv_heads; ++head)
            heads[static_cast<size_t>(head)].policy = choose(layer, head);
    }
    const CacheLayout checked(file.plan, request.model->cache_shape());
    for (const auto& [name, value] : request.settings) {
        std::visit([&, &key = name](const auto& v) { file.settings[key] = v; }, value);
    }
    return file;
}

double share_setting(const PlanRequest& request, const std::string& flag, double fallback) {
    const double share = number_setting(request.settings, flag, "--" + flag).value_or(fallback);
    if (!(share >= 0 && share <= 1))
        throw UsageError(fmt::format("a share of {}", share), "--" + flag, "give 0 to 1");
    return share;
}

int64_t ranged_integer(const PlanRequest& request, const std::string& flag, int64_t fallback,
                       int64_t low, int64_t high) {
    const int64_t value = integer_setting(request.settings, flag, "--" + flag).value_or(fallback);
    if (value < low || value > high) {
        throw UsageError(std::to_string(value) + " is out of range", "--" + flag,
                         fmt::format("give {} to {}", low, high));
    }
    return value;
}

void set_token_count(const PlanRequest& request, const std::string& flag,
                     const std::string& share_flag, const std::string& name, int64_t least,
                     int64_t fallback, Settings& settings) {
    const bool given = request.settings.count(flag) > 0;
    const bool shared = request.settings.count(share_flag) > 0;
    const int64_t most = request.model->max_context();
    if (given || !shared) {
        settings[name] =
            ranged_integer(request, flag, std::min(fallback, most), least, std::max(least, most));
    }
    if (shared) settings[name + "_share"] = share_setting(request, share_flag, 0);
}

}  // namespace lowkey
