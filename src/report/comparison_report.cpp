#include "report/comparison_report.h"

#include <algorithm>
#include <cmath>

#include "report/comparison_verdict.h"

namespace lowkey {
namespace {

using nlohmann::json;

double share_of(const std::vector<bool>& flags) {
    if (flags.empty()) return 0;
    const auto set = std::count(flags.begin(), flags.end(), true);
    return static_cast<double>(set) / static_cast<double>(flags.size());
}

json usage_json(const CacheUsage& usage) {
    return {{"bytes_allocated", usage.bytes_allocated},
            {"bytes_full", usage.bytes_full},
            {"ratio", usage.ratio()},
            {"tokens", usage.tokens},
            {"peak_bytes", usage.peak_bytes}};
}

json text_json(const TextScore& text) {
    return {{"perplexity", text.perplexity()},
            {"nll", text.nll},
            {"nll_change", text.change},
            {"nll_change_error", text.change_error},
            {"mean_kl", text.kl},
            {"top1_agreement", text.top1},
            {"cache", usage_json(text.cache)}};
}

json needle_json(const ComparisonReport& report, const ComparedCache& cache) {
    json grid = json::array();
    for (const NeedlePlace& cell : report.needle_cells()) {
        grid.push_back({{"length", cell.length},
                        {"depth", cell.depth},
                        {"score", report.needle_share(cache, cell)}});
    }
    return {{"mean", share_of(cache.needle->found)},
            {"found", cache.needle->num_found()},
            {"prompts", cache.needle->found.size()},
            {"grid", std::move(grid)},
            {"cache", usage_json(cache.needle->cache)}};
}

json task_json(const ComparisonReport& report, const TaskScore& task) {
    json out = {{"task", report.task_name}, {"accuracy", task.accuracy()},
                {"accuracy_norm", nullptr}, {"stderr", task.accuracy_error()},
                {"n", task.right.size()},   {"cache", usage_json(task.cache)}};
    if (const auto norm = task.accuracy_norm(); norm) out["accuracy_norm"] = *norm;
    return out;
}

json plan_json(const ComparedCache& cache) {
    json layers = json::array();
    for (const LayerSummary& layer : cache.layers) {
        json& row = layers.emplace_back(
            json{{"key_ranks", layer.key_ranks}, {"value_ranks", layer.value_ranks}});
        if (layer.error) row["error"] = *layer.error;
    }
    return {{"file", cache.file},
            {"hash", cache.hash},
            {"method", cache.method},
            {"command", cache.command},
            {"prefill_attention", cache.exact_prefill ? "exact" : "compressed"},
            {"layers", std::move(layers)}};
}

json speed_json(const SpeedScore& speed) {
    json out = {{"depth", speed.depth},
                {"tokens_per_second", speed.tokens_per_second},
                {"attention_seconds", speed.attention_seconds},
                {"share", speed.share},
                {"share_low", nullptr},
                {"share_high", nullptr}};
    if (speed.has_interval()) {
        out["share_low"] = speed.share_low;
        out["share_high"] = speed.share_high;
    }
    return out;
}

json cache_json(const ComparisonReport& report, const ComparedCache& cache) {
    json out = {
        {"name", cache.name},       {"plan", cache.method.empty() ? json() : plan_json(cache)},
        {"memory", json::array()},  {"speed", json::array()},
        {"samples", cache.samples}, {"losses", json::array()}};
    for (const CacheUsage& usage : cache.memory) out["memory"].push_back(usage_json(usage));
    for (const SpeedScore& speed : cache.speed) {
        out["speed"].push_back(speed_json(speed));
    }
    if (cache.text) out["text"] = text_json(*cache.text);
    if (cache.needle) out["needle"] = needle_json(report, cache);
    if (cache.task) out["task"] = task_json(report, *cache.task);
    for (const Loss& loss : losses_of(report, cache)) out["losses"].push_back(loss.what);
    return out;
}

}  // namespace

double TextScore::perplexity() const { return std::exp(nll); }
double TextScore::relative_change() const { return std::expm1(change); }

int64_t NeedleScore::num_found() const { return std::count(found.begin(), found.end(), true); }

double TaskScore::accuracy() const { return share_of(right); }

std::optional<double> TaskScore::accuracy_norm() const {
    if (right_norm.empty()) return std::nullopt;
    return share_of(right_norm);
}

double TaskScore::accuracy_error() const {
    if (right.size() < 2) return 0;
    const double p = accuracy();
    return std::sqrt(p * (1 - p) / static_cast<double>(right.size() - 1));
}

std::vector<NeedlePlace> ComparisonReport::needle_cells() const {
    std::vector<NeedlePlace> cells;
    for (const NeedlePlace& place : needles) {
        if (std::find(cells.begin(), cells.end(), place) == cells.end()) cells.push_back(place);
    }
    return cells;
}

double ComparisonReport::needle_share(const ComparedCache& cache, const NeedlePlace& cell) const {
    std::vector<bool> found;
    for (size_t i = 0; i < needles.size(); ++i) {
        if (needles[i] == cell) found.push_back(cache.needle->found[i]);
    }
    return share_of(found);
}

json to_json(const ComparisonReport& report) {
    json caches = json::array();
    for (const ComparedCache& cache : report.caches) caches.push_back(cache_json(report, cache));
    json prompts = json::array();
    for (const SamplePrompt& prompt : report.prompts)
        prompts.push_back({{"name", prompt.name}, {"end", prompt.end}, {"tokens", prompt.tokens}});
    return {{"model",
             {{"name", report.model},
              {"architecture", report.architecture},
              {"fingerprint", report.model_fingerprint},
              {"parameters", report.parameters},
              {"num_layers", report.num_layers},
              {"num_heads", report.num_heads},
              {"num_kv_heads", report.num_kv_heads},
              {"head_dim", report.head_dim},
              {"kv_bytes_per_token", report.kv_bytes_per_token}}},
            {"setup",
             {{"version", report.version},
              {"processor", report.processor},
              {"isa", report.isa},
              {"threads", report.threads},
              {"dtype", report.dtype},
              {"command", report.command}}},
            {"text",
             {{"name", report.text_name},
              {"hash", report.text_hash},
              {"windows", report.windows},
              {"length", report.window_length},
              {"prefill", report.window_prefill},
              {"scored", report.text_scored},
              {"targets", report.targets}}},
            {"prompts", std::move(prompts)},
            {"caches", std::move(caches)},
            {"findings", findings(report)}};
}

}  // namespace lowkey
