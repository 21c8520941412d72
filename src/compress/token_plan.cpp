#include "compress/token_plan.h"

#include <algorithm>

namespace lowkey {

PlanFile make_token_plan(const PlanRequest& request, const PolicyChoice& choose) {
    const ModelConfig& config = request.model->config();
    PlanFile file;
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
    return file;
}

void set_token_count(PlannerSettings& given, const Model& model, const std::string& flag,
                     const std::string& share_flag, const std::string& name, int64_t least,
                     int64_t fallback, Settings& policy) {
    const int64_t most = model.max_context();
    if (given.has(flag) || !given.has(share_flag)) {
        policy[name] =
            given.integer_within(flag, std::min(fallback, most), least, std::max(least, most));
    }
    if (given.has(share_flag)) policy[name + "_share"] = given.number(share_flag);
}

}  // namespace lowkey
