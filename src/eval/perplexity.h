#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "eval/items.h"

namespace lowkey {

/// Which windows of a text are scored.
struct WindowOptions {
    int64_t length = 2048;  ///< tokens of a window
    /// 0: all disjoint windows, [i · length, (i + 1) · length), the tail dropped. N: N windows at
    /// even distances, window i starting at i · max(length, floor((num_tokens - length) / N)), but
    /// no more than fit side by side: a token that counts twice would make errors look smaller.
    int64_t sequences = 0;
};

/// Cuts a tokenized text into windows, views of `tokens`. Throws UsageError, saying how many tokens
/// there are, when the text is shorter than one window.
std::vector<std::span<const int32_t>> cut_windows(std::span<const int32_t> tokens,
                                                  const WindowOptions& options);

/// How windows are scored.
struct PerplexityOptions {
    /// Absent: a window is one prefill, and its targets 1 to length - 1 (all but the first token)
    /// are scored. N: tokens [0, N) are prefilled and [N, length) decoded one by one through the
    /// cache; the logits of positions N to length - 2 are scored, so targets N + 1 to length - 1.
    std::optional<int64_t> prefill = {};
    /// Put in front of every window, beyond its length and its prefill; the targets stay the same.
    std::optional<int32_t> bos = {};
    /// Called as work proceeds with the windows' tokens that are done, of all, and the mean over
    /// finished windows of their NLLs (nullopt before the first). The first call has what an
    /// earlier run had done.
    std::function<void(int64_t done, int64_t total, std::optional<double> nll)> on_progress = {};
};

/// How far next-token distributions are from those of a reference, over the same targets.
struct ReferenceComparison {
    double mean_kl = 0;         ///< mean KL(reference || model), nats
    double kl_p999 = 0;         ///< that 99.9 % of the targets do not exceed
    double top1_agreement = 0;  ///< share of positions where both rank the same token first
    double nll = 0;             ///< the reference's own
    double change = 0;          ///< mean of nll minus that of the reference, per target
    double change_error = 0;    ///< standard error of that mean
};

/// Negative log-likelihoods in nats.
struct Perplexity {
    double nll = 0;      ///< mean over all scored targets
    int64_t tokens = 0;  ///< scored targets
    int64_t windows = 0;
    std::optional<int64_t> prefill;  ///< PerplexityOptions::prefill: which targets were scored, how
    CacheUsage cache;                ///< at the end of the last window; its peak is that of all
    std::optional<ReferenceComparison> reference;
    [[nodiscard]] double perplexity() const;
};

/// Scores windows under several plans: each engine's result, as if it ran alone. The engines are
/// made of one model; what is prefilled of a window is computed once for all plans that attend to
/// it exactly (see prefill_shared()). A window is a sequence of its own, whose caches are freed
/// before the next. With a `reference` engine (of the same vocabulary; usually the same model under
/// the uncompressed plan) every window runs through that too, in the same way. An item of `how` is
/// a window. Throws UsageError when a window leaves no target to score or does not fit the context,
/// and without `prefill` when a plan's prompts attend exactly: its cache would not be met;
/// BudgetError when a cache does not fit, Error when logits are not
/// finite.
std::vector<Perplexity> evaluate_perplexities(std::span<Engine* const> engines,
                                              std::span<const std::span<const int32_t>> windows,
                                              const PerplexityOptions& options = {},
                                              Engine* reference = nullptr,
                                              const ItemOptions& how = {});
/// The same of one engine.
Perplexity evaluate_perplexity(Engine& engine, std::span<const std::span<const int32_t>> windows,
                               const PerplexityOptions& options = {}, Engine* reference = nullptr,
                               const ItemOptions& how = {});

}  // namespace lowkey
