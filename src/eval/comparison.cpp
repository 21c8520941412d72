#include "eval/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "eval/comparison_steps.h"
#include "report/plan_summary.h"

namespace lowkey {
namespace {

using Results = ComparisonStep::Results;

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

/// A journal's results of whole steps: those of a cache are item step · caches + cache.
class FinishedSteps {
public:
    FinishedSteps(Journal* journal, size_t num_caches)
        : journal_(journal), num_caches_(static_cast<int64_t>(num_caches)) {}

    [[nodiscard]] std::optional<Results> find(int64_t step,
                                              const std::vector<std::string>& scores) const {
        if (journal_ == nullptr) return std::nullopt;
        Results results;
        for (int64_t i = 0; i < num_caches_; ++i) {
            const auto item = journal_->finished().find(step * num_caches_ + i);
            if (item == journal_->finished().end()) return std::nullopt;
            for (const std::string& name : scores) {
                if (item->second.scores.count(name) == 0) {
                    throw FileError("item " + std::to_string(item->first) + " has no " + name,
                                    journal_->path(), "name another file for --resume");
                }
            }
            results.push_back(item->second);
        }
        return results;
    }

    void add(int64_t step, const Results& results) {
        if (journal_ == nullptr) return;
        for (int64_t i = 0; i < num_caches_; ++i)
            journal_->add(step * num_caches_ + i, results[static_cast<size_t>(i)]);
    }

private:
    Journal* journal_;
    int64_t num_caches_;
};

Error stopped(int64_t done, int64_t count, const Journal* journal) {
    return {fmt::format("stopped after {} of {} items", done, count),
            journal != nullptr ? journal->path() : "",
            journal != nullptr ? "give the same command again to go on"
                               : "with --resume FILE it could be continued"};
}

void run_steps(const std::vector<ComparisonStep>& steps, size_t num_caches,
               const ComparisonProgress& how) {
    FinishedSteps finished(how.journal, num_caches);
    const auto count = std::ssize(steps);
    double whole = 0;
    for (const ComparisonStep& step : steps) whole += step.cost;
    double done = 0;
    std::vector<int64_t> peaks(num_caches);
    for (int64_t i = 0; i < count; ++i) {
        const ComparisonStep& step = steps[static_cast<size_t>(i)];
        std::optional<Results> results = finished.find(i, step.scores);
        if (!results) {
            if (how.should_stop && how.should_stop()) throw stopped(i, count, how.journal);
            if (how.on_progress) how.on_progress(i, count, done / whole, step.label);
            results = step.run();
            finished.add(i, *results);
        }
        // A pool's peak is that of all steps so far, those of an interrupted run included.
        for (size_t c = 0; c < num_caches; ++c) {
            int64_t& peak = (*results)[c].cache.peak_bytes;
            peak = peaks[c] = std::max(peaks[c], peak);
        }
        step.take(*results);
        done += step.cost;
    }
    if (how.on_progress && count > 0) how.on_progress(count, count, 1, "");
}

}  // namespace

ComparisonReport compare(const std::shared_ptr<const Model>& model, const Tokenizer& tokenizer,
                         std::span<const Contestant> plans, const ComparisonTasks& tasks,
                         const EngineOptions& engine_options, const ComparisonProgress& how) {
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
    run_steps(comparison_steps(contest), contest.engines.size(), how);
    return std::move(contest.report);
}

}  // namespace lowkey
