#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace lowkey {

class Tokenizer;

/// Sequences of several engines of one checkpoint that take their tokens together. Where engines
/// share their weights (nothing of their plans is folded in), a step of all of them reads the
/// weights once; caches that attend to prompts exactly share the prompt's pass. Empty at first.
class SideBySide {
public:
    /// Rows of the last layer's output [num_tokens, hidden_size] of an engine's prompt tokens
    /// [first, first + num_tokens).
    using HiddenSink =
        std::function<void(size_t engine, int64_t first, const float* hidden, int64_t num_tokens)>;

    /// The engines must outlive this.
    explicit SideBySide(std::span<Engine* const> engines);

    [[nodiscard]] size_t size() const { return engines_.size(); }
    [[nodiscard]] Engine& engine(size_t i) const { return *engines_[i]; }
    [[nodiscard]] CacheUsage usage(size_t i) const { return engine(i).usage(*sequences_[i]); }

    /// The same prompt for all. Throws what Engine::prefill() throws.
    void prefill(std::span<const int32_t> tokens, const HiddenSink& sink);
    /// The next token of each engine, through its cache; nullopt leaves an engine out. Returns the
    /// last layer's output [engines, hidden_size], zeros for those.
    Tensor decode(std::span<const std::optional<int32_t>> tokens);
    /// logits [engines, vocab_size] of rows [engines, hidden_size].
    [[nodiscard]] Tensor logits(const Tensor& hidden) const;

private:
    std::span<Engine* const> engines_;
    std::vector<std::unique_ptr<SequenceCache>> sequences_ = {};
};

/// What engines write, greedily.
struct Continuations {
    std::vector<std::vector<int32_t>> ids = {};  ///< of each engine, up to a special token
    std::vector<CacheUsage> usage = {};          ///< at the end
};

/// How to continue a prompt.
struct ContinueOptions {
    int64_t max_new_tokens = 64;
    /// Fed token by token, through the caches that the prompt has left behind.
    std::vector<int32_t> decoded_prompt = {};
    /// Whether a continuation is complete; null: never before max_new_tokens.
    std::function<bool(std::span<const int32_t> ids)> is_complete = {};
};

/// Continues a prompt with every engine. Throws what SideBySide::prefill() throws.
Continuations continue_side_by_side(std::span<Engine* const> engines, const Tokenizer& tokenizer,
                                    std::span<const int32_t> prompt,
                                    const ContinueOptions& options);

/// How an engine scores a window against the first one, over the same targets.
struct WindowScore {
    double nll = 0;             ///< means over targets, nats
    double change = 0;          ///< nll - the first engine's nll
    double change_squared = 0;  ///< mean square of that
    double kl = 0;              ///< KL(first || this)
    double top1 = 0;            ///< share of targets where both rank the same token first
    CacheUsage cache = {};      ///< at the end
};

/// Scores a window as evaluate_perplexity() does with `prefill` tokens in the prompt: the rest is
/// decoded through the caches, and of positions prefill to length - 2 the next token is scored.
/// Throws UsageError when none is left to score, Error when logits are not finite.
std::vector<WindowScore> score_side_by_side(std::span<Engine* const> engines,
                                            std::span<const int32_t> window, int64_t prefill);

}  // namespace lowkey
