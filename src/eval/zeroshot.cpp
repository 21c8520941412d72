#include "eval/zeroshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/hash.h"
#include "eval/likelihood.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using zeroshot_score::kAccuracy;
using zeroshot_score::kAccuracyNorm;
constexpr char kLogLikelihood[] = "log_likelihood";
constexpr char kMargin[] = "margin";

std::vector<std::string> score_names(const ZeroshotTask& task) {
    std::vector<std::string> names = {kAccuracy};
    if (task.normalized) names.emplace_back(kAccuracyNorm);
    names.emplace_back(task.cloze ? kLogLikelihood : kMargin);
    return names;
}

/// Cuts the context's beginning off where all but the last token would not fit.
void fit(Continuation& continuation, int64_t max_context) {
    const int64_t excess =
        std::ssize(continuation.context) + std::ssize(continuation.tokens) - 1 - max_context;
    if (excess <= 0) return;
    if (excess >= std::ssize(continuation.context)) {
        throw UsageError(fmt::format("a continuation of {} tokens does not fit the context of {}",
                                     continuation.tokens.size(), max_context),
                         "", "raise --max-context where the model allows it");
    }
    continuation.context.erase(continuation.context.begin(), continuation.context.begin() + excess);
}

std::vector<Continuation> encode(const Tokenizer& tokenizer, const ZeroshotItem& item,
                                 const ZeroshotOptions& options, int64_t max_context) {
    std::vector<Continuation> out;
    for (const ZeroshotItem::Choice& choice : item.choices) {
        out.push_back(encode_continuation(tokenizer, choice.context, choice.continuation,
                                          options.start, options.bos));
        fit(out.back(), max_context);
    }
    return out;
}

/// By how much the right choice is ahead of the best other one; 0 where there is no other.
double margin(const std::vector<double>& values, int64_t gold) {
    double best_other = -std::numeric_limits<double>::infinity();
    for (int64_t i = 0; i < std::ssize(values); ++i)
        if (i != gold) best_other = std::max(best_other, values[static_cast<size_t>(i)]);
    return values.size() > 1 ? values[static_cast<size_t>(gold)] - best_other : 0;
}

/// Index of the greatest, the first among equals.
int64_t best(const std::vector<double>& values) {
    return std::max_element(values.begin(), values.end()) - values.begin();
}

ItemResult score(const ZeroshotTask& task, const ZeroshotItem& item,
                 const Likelihoods& likelihoods) {
    std::vector<double> plain;
    std::vector<double> per_character;
    for (size_t i = 0; i < item.choices.size(); ++i) {
        const double value = likelihoods.continuations[i].log_likelihood;
        if (!std::isfinite(value)) {
            throw Error("the model's logits are not finite", "",
                        "the checkpoint or the plan is broken; try --dtype f32");
        }
        plain.push_back(value);
        per_character.push_back(value / static_cast<double>(item.choices[i].length));
    }
    const bool right =
        task.cloze ? likelihoods.continuations.front().greedy : best(plain) == item.gold;
    ItemResult result{.scores = {{kAccuracy, right ? 1 : 0}}, .cache = likelihoods.cache};
    if (task.normalized) result.scores[kAccuracyNorm] = best(per_character) == item.gold ? 1 : 0;
    if (task.cloze) {
        result.scores[kLogLikelihood] = plain.front();
    } else {
        result.scores[kMargin] = margin(plain, item.gold);
    }
    return result;
}

std::optional<double> standard_error(double share, int64_t n) {
    if (n < 2) return std::nullopt;
    return std::sqrt(share * (1 - share) / static_cast<double>(n - 1));
}

}  // namespace

std::string fingerprint(std::span<const ZeroshotItem> items) {
    Hasher hasher;
    // Lengths keep texts apart.
    const auto add = [&](const std::string& text) {
        hasher.add(std::to_string(text.size()) + ":");
        hasher.add(text);
    };
    for (const ZeroshotItem& item : items) {
        hasher.add(fmt::format("{} of {}:", item.gold, item.choices.size()));
        for (const ZeroshotItem::Choice& choice : item.choices) {
            add(choice.context);
            add(choice.continuation);
        }
    }
    return hasher.hex();
}

std::vector<EvalItem> zeroshot_items(std::span<Engine* const> engines, const Tokenizer& tokenizer,
                                     const ZeroshotTask& task,
                                     std::span<const ZeroshotItem> questions,
                                     const ZeroshotOptions& options) {
    const int64_t max_context = engines.front()->model().max_context();
    // What cannot be scored is refused now, not after an hour.
    int64_t longest = 0;
    for (const ZeroshotItem& question : questions) {
        for (const Continuation& c : encode(tokenizer, question, options, max_context))
            longest = std::max(longest, std::ssize(c.context) + std::ssize(c.tokens) - 1);
    }
    for (Engine* engine : engines) engine->check_request(*engine->new_sequence(), longest, 0);

    std::vector<EvalItem> items;
    for (const ZeroshotItem& question : questions) {
        const auto run = [engines, &tokenizer, &task, &question, options, max_context] {
            const auto continuations = encode(tokenizer, question, options, max_context);
            std::vector<ItemResult> results;
            for (Engine* engine : engines)
                results.push_back(
                    score(task, question, score_continuations(*engine, continuations)));
            return results;
        };
        items.push_back({.scores = score_names(task), .run = run, .label = task.name});
    }
    return items;
}

std::vector<ZeroshotResult> evaluate_zeroshot(std::span<Engine* const> engines,
                                              const Tokenizer& tokenizer, const ZeroshotTask& task,
                                              std::span<const ZeroshotItem> questions,
                                              const ZeroshotOptions& options,
                                              const ItemOptions& how) {
    const auto items = zeroshot_items(engines, tokenizer, task, questions, options);
    const ItemResults all = run_items(items, std::ssize(engines), how);
    std::vector<ZeroshotResult> out;
    for (size_t e = 0; e < engines.size(); ++e) {
        const std::vector<ItemResult> own = results_of(all, e);
        ZeroshotResult& result = out.emplace_back();
        result.n = std::ssize(own);
        result.accuracy = mean_score(own, kAccuracy);
        result.stderr_accuracy = standard_error(result.accuracy, result.n);
        if (task.normalized) {
            result.accuracy_norm = mean_score(own, kAccuracyNorm);
            result.stderr_accuracy_norm = standard_error(*result.accuracy_norm, result.n);
        }
        if (task.cloze) result.perplexity = std::exp(-mean_score(own, kLogLikelihood));
        result.cache = largest_cache(own);
    }
    return out;
}

ZeroshotResult evaluate_zeroshot(Engine& engine, const Tokenizer& tokenizer,
                                 const ZeroshotTask& task, std::span<const ZeroshotItem> questions,
                                 const ZeroshotOptions& options, const ItemOptions& how) {
    Engine* const engines[] = {&engine};
    return evaluate_zeroshot(engines, tokenizer, task, questions, options, how).front();
}

}  // namespace lowkey
