#include "report/plan_summary.h"

#include <fmt/format.h>

#include <optional>

namespace lowkey {
namespace {

LayerSummary summarize_layer(const PlanFile& file, size_t layer) {
    const auto rank = [&](const CodecSpec& spec) { return num_coordinates(spec, file.head_dim); };
    LayerSummary summary;
    for (const HeadPlan& head : file.plan.layers[layer]) {
        summary.key_ranks.push_back(rank(head.key));
        summary.value_ranks.push_back(rank(head.value));
    }
    const auto measured = file.measured.find("layers");
    if (measured == file.measured.end() || !measured->is_array() || layer >= measured->size())
        return summary;
    const auto& row = (*measured)[layer];
    if (row.is_object() && row.contains("error") && row["error"].is_number())
        summary.error = row["error"].get<double>();
    return summary;
}

/// A table [layers][heads] that a plan has measured, if it is one.
std::optional<HeadScores> read_head_scores(const PlanFile& file, const char* name) {
    const auto found = file.measured.find(name);
    const size_t layers = file.plan.layers.size();
    if (found == file.measured.end() || !found->is_array() || found->size() != layers)
        return std::nullopt;
    HeadScores scores{.name = name};
    for (size_t layer = 0; layer < layers; ++layer) {
        const auto& row = (*found)[layer];
        const size_t kv_heads = file.plan.layers[layer].size();
        const size_t heads = row.is_array() ? row.size() : 0;
        if (heads == 0 || heads % kv_heads != 0) return std::nullopt;
        if (layer > 0 && heads != scores.values.front().size()) return std::nullopt;
        scores.values.emplace_back();
        scores.kept_whole.emplace_back();
        for (size_t head = 0; head < heads; ++head) {
            if (!row[head].is_number()) return std::nullopt;
            scores.values.back().push_back(row[head].get<double>());
            const HeadPlan& plan = file.plan.layers[layer][head / (heads / kv_heads)];
            scores.kept_whole.back().push_back(plan.policy.name == "all");
        }
    }
    return scores;
}

}  // namespace

ComparedCache summarize_plan(const std::string& name, const PlanFile& file) {
    ComparedCache cache;
    cache.name = name;
    cache.method = file.method.empty() ? "unnamed" : file.method;
    cache.exact_prefill = file.plan.prefill_attention == PrefillAttention::kExact;
    for (size_t layer = 0; layer < file.plan.layers.size(); ++layer)
        cache.layers.push_back(summarize_layer(file, layer));
    for (const char* key : {"induction", "echo"}) {
        if (auto scores = read_head_scores(file, key); scores)
            cache.head_scores.push_back(std::move(*scores));
    }
    return cache;
}

}  // namespace lowkey
