#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "eval/items.h"
#include "eval/zeroshot_tasks.h"

namespace lowkey {

class Tokenizer;

/// How questions become tokens.
struct ZeroshotOptions {
    int32_t start = 0;                ///< the whole of an empty context
    std::optional<int32_t> bos = {};  ///< put before every context; the harness does not by default
};

/// What lm-evaluation-harness reports.
struct ZeroshotResult {
    double accuracy = 0;
    std::optional<double> accuracy_norm;    ///< by log-likelihood per character, where it has it
    std::optional<double> stderr_accuracy;  ///< sqrt(p (1 - p) / (n - 1)); nothing for one item
    std::optional<double> stderr_accuracy_norm;
    std::optional<double> perplexity;  ///< of cloze tasks: exp of the mean over items of their NLL
    int64_t n = 0;
    CacheUsage cache;  ///< of the longest context
};

/// A hash of all that the items ask.
std::string fingerprint(std::span<const ZeroshotItem> items);

/// Scores of a question that others read: 1 where the model's choice is the right one.
namespace zeroshot_score {
inline constexpr char kAccuracy[] = "accuracy";
inline constexpr char kAccuracyNorm[] = "accuracy_norm";  ///< of tasks that are normalized
}  // namespace zeroshot_score

/// The questions, each put to all engines; what is given must outlive the items. Contexts too long
/// for the model lose their beginning. Throws UsageError when a continuation alone is too long.
std::vector<EvalItem> zeroshot_items(std::span<Engine* const> engines, const Tokenizer& tokenizer,
                                     const ZeroshotTask& task,
                                     std::span<const ZeroshotItem> questions,
                                     const ZeroshotOptions& options);

/// Scores questions, at least one, under several plans: the choice with the greatest log-likelihood
/// is the model's, the first of equal ones. Throws what zeroshot_items() refuses.
std::vector<ZeroshotResult> evaluate_zeroshot(std::span<Engine* const> engines,
                                              const Tokenizer& tokenizer, const ZeroshotTask& task,
                                              std::span<const ZeroshotItem> questions,
                                              const ZeroshotOptions& options,
                                              const ItemOptions& how = {});
/// The same of one engine.
ZeroshotResult evaluate_zeroshot(Engine& engine, const Tokenizer& tokenizer,
                                 const ZeroshotTask& task, std::span<const ZeroshotItem> questions,
                                 const ZeroshotOptions& options, const ItemOptions& how = {});

}  // namespace lowkey
