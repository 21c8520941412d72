#include "compress/compose.h"

#include <algorithm>

#include "base/error.h"
#include "compress/plan_command.h"
#include "io/fingerprint.h"

namespace lowkey {
namespace {

bool chooses_tokens(const HeadPlan& head) { return head.policy.name != "all"; }

[[noreturn]] void refuse(const std::string& what, size_t layer, size_t head) {
    throw UsageError("two of the plans choose " + what,
                     "layer " + std::to_string(layer) + ", KV head " + std::to_string(head),
                     "compose a plan for tokens with a plan for their vectors");
}

void merge_codec(const CodecSpec& part, const char* what, size_t layer, size_t head,
                 CodecSpec& whole) {
    if (is_plain(part)) return;
    if (!is_plain(whole)) refuse(what, layer, head);
    whole = part;
}

void merge_head(const HeadPlan& part, size_t layer, size_t head, HeadPlan& whole) {
    if (chooses_tokens(part)) {
        if (chooses_tokens(whole)) refuse("tokens", layer, head);
        whole.policy = part.policy;
    }
    merge_codec(part.key, "a codec for keys", layer, head, whole.key);
    merge_codec(part.value, "a codec for values", layer, head, whole.value);
    whole.exact_sinks = std::max(whole.exact_sinks, part.exact_sinks);
    whole.exact_recent = std::max(whole.exact_recent, part.exact_recent);
}

bool any_tokens(const PlanFile& file) {
    for (const auto& layer : file.plan.layers) {
        if (std::any_of(layer.begin(), layer.end(), chooses_tokens)) return true;
    }
    return false;
}

}  // namespace

PlanFile compose_plans(const std::vector<PlanFile>& parts) {
    LOWKEY_CHECK(!parts.empty());
    const PlanFile& first = parts.front();
    PlanFile whole;
    whole.fingerprint = first.fingerprint;
    whole.head_dim = first.head_dim;
    for (const auto& layer : first.plan.layers) whole.plan.layers.emplace_back(layer.size());
    whole.plan.prefill_attention = first.plan.prefill_attention;
    for (const PlanFile& part : parts) {
        if (!any_tokens(part)) continue;
        whole.plan.prefill_attention = part.plan.prefill_attention;
        break;
    }
    whole.settings["parts"] = nlohmann::json::array();
    for (const PlanFile& part : parts) {
        const bool same_shape =
            part.plan.layers.size() == whole.plan.layers.size() && part.head_dim == whole.head_dim;
        if (!same_checkpoint(part.fingerprint, whole.fingerprint) || !same_shape) {
            throw UsageError("plans of different models",
                             part.fingerprint + " and " + whole.fingerprint,
                             "compose plans that were made for the same checkpoint");
        }
        // Older plans say less of the checkpoint.
        if (part.fingerprint.size() > whole.fingerprint.size())
            whole.fingerprint = part.fingerprint;
        for (size_t layer = 0; layer < whole.plan.layers.size(); ++layer) {
            auto& heads = whole.plan.layers[layer];
            if (part.plan.layers[layer].size() != heads.size()) refuse("KV heads", layer, 0);
            for (size_t head = 0; head < heads.size(); ++head)
                merge_head(part.plan.layers[layer][head], layer, head, heads[head]);
        }
        whole.method += (whole.method.empty() ? "" : "+") + part.method;
        nlohmann::json made = {{"method", part.method}, {"settings", part.settings}};
        if (!part.path.empty()) made["plan"] = recordable_name(part.path);
        whole.settings["parts"].push_back(std::move(made));
    }
    return whole;
}

}  // namespace lowkey
