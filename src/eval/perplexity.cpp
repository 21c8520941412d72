#include "eval/perplexity.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "engine/shared_prompt.h"
#include "eval/next_token.h"
#include "tensor/ops.h"

namespace lowkey {
namespace {

// Scores of a window, means over its targets; the last three with a reference only.
constexpr char kNll[] = "nll";
constexpr char kReferenceNll[] = "reference_nll";
constexpr char kKl[] = "kl";
constexpr char kSameTop[] = "same_top";

/// What one scored position adds to the means.
struct Score {
    double nll = 0;
    double reference_nll = 0;
    double kl = 0;
    bool same_top = false;
};

/// One window as it runs: bos, where asked for, in front.
struct Run {
    std::vector<int32_t> tokens;
    int64_t prefill = 0;       ///< tokens of the prefill
    int64_t first_scored = 0;  ///< row whose logits are the first to be scored

    [[nodiscard]] int64_t length() const { return std::ssize(tokens); }
    [[nodiscard]] int64_t targets() const { return length() - 1 - first_scored; }
};

Run make_run(std::span<const int32_t> window, const PerplexityOptions& options) {
    const auto length = static_cast<int64_t>(window.size());
    if (options.prefill && *options.prefill < 0) {
        throw UsageError("prefill of " + std::to_string(*options.prefill) + " tokens", "",
                         "give 0 or more");
    }
    if (options.prefill.value_or(0) >= length - 1) {
        throw UsageError("windows of " + std::to_string(length) + " tokens have no target after " +
                             std::to_string(options.prefill.value_or(0)) + " prefilled tokens",
                         "", "use longer windows or a shorter prefill");
    }
    Run run;
    if (options.bos) run.tokens.push_back(*options.bos);
    const int64_t front = std::ssize(run.tokens);
    run.tokens.insert(run.tokens.end(), window.begin(), window.end());
    run.prefill = front + options.prefill.value_or(length);
    run.first_scored = front + options.prefill.value_or(0);
    return run;
}

/// The engines that run a window side by side, and a sequence of each.
struct Runners {
    explicit Runners(std::span<Engine* const> engines) {
        for (Engine* engine : engines) {
            sequences.push_back(engine->new_sequence());
            targets.push_back({engine, sequences.back().get()});
        }
    }
    std::vector<std::unique_ptr<SequenceCache>> sequences;
    std::vector<PromptTarget> targets;
};

/// Runs a window; returns each engine's last layer's output [tokens - first_scored, hidden_size]
/// from the first scored row on. Decoding leaves the output head to the caller too, which
/// multiplies many rows at once. `on_tokens` hears of the tokens of all engines.
std::vector<Tensor> run_window(Runners& runners, const Run& run,
                               const std::function<void(int64_t done)>& on_tokens) {
    const auto count = static_cast<int64_t>(run.tokens.size());
    std::vector<Tensor> all;
    for (const PromptTarget& target : runners.targets) {
        const int64_t size = target.engine->model().config().hidden_size;
        all.emplace_back(DType::kF32, Shape{count - run.first_scored, size});
    }
    int64_t done = 0;
    const auto keep = [&](size_t i, int64_t first, const float* hidden, int64_t n) {
        const int64_t size = all[i].dim(1);
        const int64_t begin = std::max(first, run.first_scored);
        if (begin < first + n) {
            std::copy_n(hidden + (begin - first) * size, (first + n - begin) * size,
                        all[i].f32().data() + (begin - run.first_scored) * size);
        }
        done += n;
        on_tokens(done);
    };
    prefill_shared(runners.targets, std::span(run.tokens).first(static_cast<size_t>(run.prefill)),
                   keep);
    for (size_t i = 0; i < runners.targets.size(); ++i) {
        for (int64_t t = run.prefill; t < count; ++t) {
            const SequenceInput input{runners.targets[i].sequence,
                                      std::span(run.tokens).subspan(static_cast<size_t>(t), 1),
                                      false};
            const Tensor hidden = runners.targets[i].engine->model().forward({&input, 1});
            keep(i, t, hidden.f32().data(), 1);
        }
    }
    return all;
}

/// Scores of rows [first_scored, tokens - 1), whose targets are the tokens behind them. `hidden`
/// holds the rows from first_scored on; `reference` may be null.
std::vector<Score> score_window(const Engine& engine, const Tensor& hidden, const Run& run,
                                const Engine* reference, const Tensor* reference_hidden) {
    const int64_t vocab = engine.model().config().vocab_size;
    const int64_t end = static_cast<int64_t>(run.tokens.size()) - 1 - run.first_scored;
    const int64_t block = std::min(logits_block(vocab), end);
    Tensor logits(DType::kF32, {block, vocab});
    Tensor others(DType::kF32, {reference != nullptr ? block : 0, vocab});
    std::vector<Score> scores(static_cast<size_t>(end));
    for (int64_t t = 0; t < end; t += block) {
        const int64_t n = std::min(block, end - t);
        engine.model().logits(hidden.f32().data() + t * hidden.dim(1), n, logits.f32().data());
        if (reference != nullptr) {
            reference->model().logits(reference_hidden->f32().data() + t * reference_hidden->dim(1),
                                      n, others.f32().data());
        }
        parallel_for(n, [&](int64_t i) {
            const auto row = [&](const Tensor& rows) {
                return rows.f32().subspan(static_cast<size_t>(i * vocab),
                                          static_cast<size_t>(vocab));
            };
            const int32_t target = run.tokens[static_cast<size_t>(run.first_scored + t + i + 1)];
            Score& score = scores[static_cast<size_t>(t + i)];
            score.nll = nll_of(row(logits), target);
            if (reference == nullptr) return;
            score.reference_nll = nll_of(row(others), target);
            score.kl = kl_divergence(row(others), log_sum_exp(row(others)), row(logits));
            score.same_top = likeliest(row(others)) == likeliest(row(logits));
        });
    }
    return scores;
}

/// The means of one window.
ItemResult mean_scores(std::span<const Score> scores, bool with_reference) {
    Score sum;
    int64_t same_top = 0;
    for (const Score& score : scores) {
        sum.nll += score.nll;
        sum.reference_nll += score.reference_nll;
        sum.kl += score.kl;
        same_top += score.same_top ? 1 : 0;
    }
    if (!std::isfinite(sum.nll) || !std::isfinite(sum.kl)) {
        throw Error("the model's logits are not finite", "",
                    "the checkpoint or the plan is broken; try --dtype f32");
    }
    const auto targets = static_cast<double>(scores.size());
    ItemResult result{.scores = {{kNll, sum.nll / targets}}};
    if (with_reference) {
        result.scores[kReferenceNll] = sum.reference_nll / targets;
        result.scores[kKl] = sum.kl / targets;
        result.scores[kSameTop] = static_cast<double>(same_top) / targets;
    }
    return result;
}

/// Runs a window through all engines, and the reference if there is one, and scores each engine.
std::vector<ItemResult> evaluate_window(std::span<Engine* const> engines, Engine* reference,
                                        const Run& run,
                                        const std::function<void(int64_t done)>& on_tokens) {
    std::vector<Engine*> running(engines.begin(), engines.end());
    if (reference != nullptr) running.push_back(reference);
    Runners runners(running);
    const std::vector<Tensor> hidden =
        run_window(runners, run, [&](int64_t tokens) { on_tokens(tokens / std::ssize(running)); });
    const Tensor* others = reference != nullptr ? &hidden.back() : nullptr;
    std::vector<ItemResult> results;
    for (size_t i = 0; i < engines.size(); ++i) {
        results.push_back(mean_scores(score_window(*engines[i], hidden[i], run, reference, others),
                                      reference != nullptr));
        results.back().cache = engines[i]->usage(*runners.sequences[i]);
    }
    return results;
}

/// What windows come to together.
Perplexity summarize(std::span<const Run> runs, std::span<const ItemResult> results,
                     bool with_reference) {
    Perplexity out;
    out.windows = std::ssize(runs);
    out.cache = results.back().cache;
    out.cache.peak_bytes = largest_cache(results).peak_bytes;
    for (const Run& run : runs) out.tokens += run.targets();
    const auto mean = [&](const char* score) {
        double sum = 0;
        for (size_t i = 0; i < runs.size(); ++i)
            sum += results[i].scores.at(score) * static_cast<double>(runs[i].targets());
        return sum / static_cast<double>(out.tokens);
    };
    out.nll = mean(kNll);
    if (with_reference) {
        out.reference = {
            .mean_kl = mean(kKl), .top1_agreement = mean(kSameTop), .nll = mean(kReferenceNll)};
    }
    return out;
}

}  // namespace

double Perplexity::perplexity() const { return std::exp(nll); }

std::vector<std::span<const int32_t>> cut_windows(std::span<const int32_t> tokens,
                                                  const WindowOptions& options) {
    const auto count = static_cast<int64_t>(tokens.size());
    if (options.length < 2) {
        throw UsageError("windows of " + std::to_string(options.length) + " tokens", "",
                         "give at least 2: a token and its target");
    }
    if (options.length > count) {
        throw UsageError("the text has " + std::to_string(count) + " tokens, one window takes " +
                             std::to_string(options.length),
                         "", "use a longer text or a smaller --length");
    }
    const bool all = options.sequences <= 0;
    const int64_t windows = all ? count / options.length : options.sequences;
    const int64_t stride = all ? options.length : (count - options.length) / windows;
    std::vector<std::span<const int32_t>> out;
    for (int64_t i = 0; i < windows; ++i) {
        out.push_back(
            tokens.subspan(static_cast<size_t>(i * stride), static_cast<size_t>(options.length)));
    }
    return out;
}

std::vector<Perplexity> evaluate_perplexities(std::span<Engine* const> engines,
                                              std::span<const std::span<const int32_t>> windows,
                                              const PerplexityOptions& options, Engine* reference,
                                              const ItemOptions& how) {
    LOWKEY_CHECK(!engines.empty());
    std::vector<Run> runs;
    int64_t total = 0;
    int64_t longest = 0;
    for (const std::span<const int32_t> window : windows) {
        runs.push_back(make_run(window, options));
        total += runs.back().length();
        longest = std::max(longest, runs.back().length());
    }
    if (runs.empty()) throw UsageError("there is no window to score", "", "give a longer text");
    // Refused now rather than after the first hour.
    for (Engine* engine : engines) engine->check_request(*engine->new_sequence(), longest, 0);
    if (reference != nullptr) reference->check_request(*reference->new_sequence(), longest, 0);

    // Items are (window, engine); the first of a window computes them all.
    const int64_t num_engines = std::ssize(engines);
    int64_t scored = -1;  // the window whose results these are
    std::vector<ItemResult> results;
    int64_t done = 0;  // tokens of finished windows
    std::optional<double> nll;
    const auto report = [&](int64_t tokens) {
        if (options.on_progress) options.on_progress(done + tokens, total, nll);
    };
    ItemOptions steps = how;
    steps.on_progress = [&](int64_t finished, int64_t count, double mean) {
        if (finished > 0) nll = mean;
        done = 0;
        for (int64_t i = 0; i < finished / num_engines; ++i)
            done += runs[static_cast<size_t>(i)].length();
        report(0);
        if (how.on_progress) how.on_progress(finished, count, mean);
    };
    const auto run = [&](int64_t item) {
        const int64_t window = item / num_engines;
        if (window != scored) {
            results =
                evaluate_window(engines, reference, runs[static_cast<size_t>(window)], report);
            scored = window;
        }
        return results[static_cast<size_t>(item % num_engines)];
    };
    std::vector<std::string> names = {kNll};
    if (reference != nullptr) names.insert(names.end(), {kReferenceNll, kKl, kSameTop});
    const std::vector<ItemResult> all =
        run_items(std::ssize(runs) * num_engines, names, run, steps);
    std::vector<Perplexity> out;
    for (size_t e = 0; e < engines.size(); ++e) {
        std::vector<ItemResult> own;
        for (size_t i = e; i < all.size(); i += engines.size()) own.push_back(all[i]);
        out.push_back(summarize(runs, own, reference != nullptr));
    }
    return out;
}

Perplexity evaluate_perplexity(Engine& engine, std::span<const std::span<const int32_t>> windows,
                               const PerplexityOptions& options, Engine* reference,
                               const ItemOptions& how) {
    Engine* const engines[] = {&engine};
    return evaluate_perplexities(engines, windows, options, reference, how).front();
}

}  // namespace lowkey
