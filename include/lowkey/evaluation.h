#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lowkey/cache.h"
#include "lowkey/export.h"
#include "lowkey/model.h"
#include "lowkey/plan.h"

namespace lowkey::api {

/// Called as an evaluation proceeds. What it throws ends the evaluation.
using OnProgress = std::function<void(int64_t done, int64_t total)>;

/// Which windows of a text are scored, and how.
struct PerplexityOptions {
    int64_t length = 2048;  ///< tokens of a window
    /// 0: all disjoint windows, the tail dropped. N: N windows at even distances.
    int64_t sequences = 0;
    /// Only the text's first so many tokens; 0: all.
    int64_t max_tokens = 0;
    /// Absent: a window is one prefill and all but its first token are scored. N: tokens [0, N) of
    /// a window are prefilled, the others decoded one by one through the cache, and only what
    /// decoding predicts is scored: targets N + 1 to length - 1. This is what a compressed cache
    /// does in use, whatever the plan's prefill attends to.
    std::optional<int64_t> prefill = {};
    /// Also run the uncompressed cache over the same windows, and compare.
    bool reference = false;
    OnProgress on_progress = {};  ///< in tokens of windows
};

/// How far next-token distributions are from those of the uncompressed cache.
struct Divergence {
    double mean_kl = 0;         ///< mean KL(uncompressed || plan), nats
    double top1_agreement = 0;  ///< share of positions where both rank the same token first
    double nll = 0;             ///< of the uncompressed cache
};

/// Negative log-likelihoods in nats.
struct Perplexity {
    double perplexity = 0;  ///< exp(nll)
    double nll = 0;         ///< mean over all scored targets
    int64_t tokens = 0;     ///< scored targets
    int64_t windows = 0;
    CacheUsage cache;  ///< at the end of the last window
    std::optional<Divergence> reference;
};

/// Scores a text, cut into windows without special tokens. Throws UsageError when it is shorter
/// than one window, when a window leaves no target to score or does not fit the context; what
/// Plan::check() throws; UnsupportedError without a tokenizer.
LOWKEY_API Perplexity measure_perplexity(const Model& model, const Plan& plan,
                                         std::string_view text,
                                         const PerplexityOptions& options = {});
/// The same for token ids [n].
LOWKEY_API Perplexity measure_perplexity(const Model& model, const Plan& plan,
                                         std::span<const int32_t> tokens,
                                         const PerplexityOptions& options = {});

/// How to test retrieval. Sources: Needle in a Haystack (Kamradt 2023); RULER (arXiv 2404.06654).
struct NeedleOptions {
    std::vector<int64_t> lengths = {1024, 4096};           ///< tokens of a whole prompt
    std::vector<double> depths = {0, 0.25, 0.5, 0.75, 1};  ///< 0 begins, 1 ends the text
    int64_t trials = 3;                                    ///< prompts of each length and depth
    int64_t needles = 1;  ///< numbers hidden; one of them is asked for
    uint64_t seed = 0;
    /// Feed the question token by token, through the cache that the text has left behind.
    bool decode_question = false;
    OnProgress on_progress = {};  ///< in prompts
};

/// Share of trials in which the number came.
struct NeedleCell {
    int64_t length = 0;
    double depth = 0;
    double score = 0;  ///< 0 to 1
};

/// What measure_needle() found.
struct NeedleResult {
    std::vector<NeedleCell> grid;  ///< depths of the first length, then of the second, …
    double mean = 0;
    CacheUsage cache;  ///< of the longest sequence, at the end of its answer
};

/// Hides seven-digit numbers under keys in the texts and asks for one: a grid of exact matches.
/// Throws UsageError, before the first prompt runs, for options out of range, texts that are too
/// short for the longest prompt and prompts that are longer than the context; what Plan::check()
/// throws; UnsupportedError without a tokenizer.
LOWKEY_API NeedleResult measure_needle(const Model& model, const Plan& plan,
                                       std::span<const std::string> haystack,
                                       const NeedleOptions& options = {});

}  // namespace lowkey::api
