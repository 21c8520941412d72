#include "eval/comparison.h"

#include <algorithm>
#include <utility>

#include "eval/comparison_parts.h"
#include "report/plan_summary.h"

namespace lowkey {
namespace {

void describe_model(const Model& model, ComparisonReport& report) {
    const ModelConfig& config = model.config();
    report.architecture = config.architecture.empty() ? config.model_type : config.architecture;
    report.model_fingerprint = model.fingerprint();
    report.parameters = model.weights().checkpoint->num_parameters();
    report.num_layers = config.num_layers;
    report.num_heads = config.num_heads;
    report.num_kv_heads = config.num_kv_heads;
    report.head_dim = config.head_dim;
    report.kv_bytes_per_token = config.kv_bytes_per_token();
}

/// A pool's peak is that of all items so far, those of an interrupted run included.
void raise_peaks(ItemResults& results) {
    std::vector<int64_t> peaks(results.empty() ? 0 : results.front().size());
    for (std::vector<ItemResult>& item : results) {
        for (size_t c = 0; c < item.size(); ++c) {
            int64_t& peak = item[c].cache.peak_bytes;
            peak = peaks[c] = std::max(peaks[c], peak);
        }
    }
}

void run_parts(const std::vector<ComparisonPart>& parts, int64_t num_caches,
               const ItemOptions& how) {
    std::vector<EvalItem> items;
    for (const ComparisonPart& part : parts)
        items.insert(items.end(), part.items.begin(), part.items.end());
    ItemResults results = run_items(items, num_caches, how);
    raise_peaks(results);
    std::span<const std::vector<ItemResult>> rest(results);
    for (const ComparisonPart& part : parts) {
        part.take(rest.first(part.items.size()));
        rest = rest.subspan(part.items.size());
    }
}

}  // namespace

ComparisonReport compare(const std::shared_ptr<const Model>& model, const Tokenizer& tokenizer,
                         std::span<const Contestant> plans, const ComparisonTasks& tasks,
                         const EngineOptions& engine_options, const ItemOptions& how) {
    EngineOptions options = engine_options;
    // All choices of a question run side by side, beside the context that they share.
    for (const ZeroshotItem& item : tasks.questions)
        options.num_sequences = std::max(options.num_sequences, std::ssize(item.choices) + 1);
    const ModelConfig& config = model->config();
    std::vector<std::unique_ptr<Engine>> engines;
    Contest contest{tokenizer, tasks, {}, {}};
    const auto add = [&](ComparedCache cache, const CachePlan& plan) {
        engines.push_back(std::make_unique<Engine>(model, plan, options));
        contest.engines.push_back(engines.back().get());
        contest.report.caches.push_back(std::move(cache));
    };
    describe_model(*model, contest.report);
    ComparedCache full;
    full.name = "full";
    add(std::move(full), CachePlan::dense(config.num_layers, config.num_kv_heads));
    for (const Contestant& contestant : plans) {
        check_plan_fits(contestant.plan, contestant.name, *model);
        add(summarize_plan(contestant.name, contestant.plan), contestant.plan.plan);
    }
    run_parts(comparison_parts(contest), std::ssize(contest.engines), how);
    return std::move(contest.report);
}

}  // namespace lowkey
