#include "eval/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "eval/window_scores.h"

namespace lowkey {
namespace {

namespace score = window_score;

/// Refuses what would show the uncompressed model beside a compressed cache's bytes.
void check_goes_through_cache(const Engine& engine, const PerplexityOptions& options,
                              int64_t length) {
    const CacheLayout& layout = engine.layout();
    const bool exact = layout.prefill_attention() == PrefillAttention::kExact;
    if (options.prefill || !exact || layout.keeps_everything()) return;
    throw UsageError(
        "prompts attend exactly under this plan, so that a window which is all prompt "
        "says nothing about its cache",
        "--prefill",
        fmt::format("give the tokens of a window that are a prompt; the rest is "
                    "decoded through the cache and scored (`--prefill {}`: three "
                    "quarters, as `lowkey compare`)",
                    length * 3 / 4));
}

/// What windows come to together.
Perplexity summarize(std::span<const ScoredWindow> windows, std::span<const ItemResult> results,
                     const PerplexityOptions& options, bool with_reference) {
    Perplexity out;
    out.windows = std::ssize(windows);
    out.prefill = options.prefill;
    out.cache = results.back().cache;
    out.cache.peak_bytes = largest_cache(results).peak_bytes;
    for (const ScoredWindow& window : windows) out.tokens += window.targets();
    const auto mean = [&](const char* name) {
        double sum = 0;
        for (size_t i = 0; i < windows.size(); ++i)
            sum += results[i].scores.at(name) * static_cast<double>(windows[i].targets());
        return sum / static_cast<double>(out.tokens);
    };
    out.nll = mean(score::kNll);
    if (with_reference) {
        out.reference = {.mean_kl = mean(score::kKl),
                         .kl_p999 = tail_value(results, tail_of(out.tokens)),
                         .top1_agreement = mean(score::kSameFirst),
                         .nll = mean(score::kReferenceNll),
                         .change = mean(score::kChange)};
        out.reference->change_error =
            error_of_mean(out.reference->change, mean(score::kChangeSquared), out.tokens);
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
    const int64_t fitting = count / options.length;
    const bool all = options.sequences <= 0;
    const int64_t windows = all ? fitting : std::min(options.sequences, fitting);
    const int64_t stride =
        all ? options.length : std::max(options.length, (count - options.length) / windows);
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
    std::vector<Engine*> running(engines.begin(), engines.end());
    WindowRun run;
    if (reference != nullptr) {
        run.reference = running.size();
        running.push_back(reference);
    }
    std::vector<ScoredWindow> runs;
    int64_t total = 0;
    int64_t longest = 0;
    for (const std::span<const int32_t> window : windows) {
        runs.emplace_back(window, options.prefill, options.bos);
        total += runs.back().length();
        longest = std::max(longest, runs.back().length());
    }
    int64_t targets = 0;
    for (const ScoredWindow& window : runs) targets += window.targets();
    if (reference != nullptr) run.kl_tail = tail_of(targets);
    if (runs.empty()) throw UsageError("there is no window to score", "", "give a longer text");
    // Refused now rather than after the first hour.
    for (const Engine* engine : engines)
        check_goes_through_cache(*engine, options, std::ssize(windows.front()));
    for (Engine* engine : running) engine->check_request(*engine->new_sequence(), longest, 0);

    int64_t done = 0;  // tokens of finished windows
    std::optional<double> nll;
    const auto report = [&](int64_t tokens) {
        if (options.on_progress) options.on_progress(done + tokens, total, nll);
    };
    run.on_tokens = [&](int64_t tokens) { report(tokens / std::ssize(running)); };
    std::vector<EvalItem> items;
    for (const ScoredWindow& window : runs) {
        items.push_back({.scores = window_score_names(reference != nullptr, run.kl_tail),
                         .run =
                             [&] {
                                 std::vector<ItemResult> results =
                                     score_window(running, window, run);
                                 results.resize(engines.size());
                                 return results;
                             },
                         .label = "perplexity",
                         .cost = static_cast<double>(window.length())});
    }
    ItemOptions steps = how;
    steps.on_progress = [&](const ItemProgress& progress) {
        if (progress.done > 0) nll = progress.mean;
        done = std::llround(progress.share * static_cast<double>(total));
        report(0);
        if (how.on_progress) how.on_progress(progress);
    };
    const ItemResults all = run_items(items, std::ssize(engines), steps);
    std::vector<Perplexity> out;
    for (size_t e = 0; e < engines.size(); ++e)
        out.push_back(summarize(runs, results_of(all, e), options, reference != nullptr));
    return out;
}

Perplexity evaluate_perplexity(Engine& engine, std::span<const std::span<const int32_t>> windows,
                               const PerplexityOptions& options, Engine* reference,
                               const ItemOptions& how) {
    Engine* const engines[] = {&engine};
    return evaluate_perplexities(engines, windows, options, reference, how).front();
}

}  // namespace lowkey
