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

/// How caches that share their weights decode.
enum class Stepping {
    /// One after another: what a cache gives is, bit for bit, what it gives alone.
    kAlone,
    /// In one pass that reads the weights once. Products of several rows are summed (in bf16 also
    /// rounded) in another order than those of one, so last digits may depend on who else is there.
    kTogether,
};

/// Sequences of several engines of one checkpoint that take the same prompt, and then tokens of
/// their own. Caches that attend to prompts exactly share the prompt's pass, which changes no bit.
/// Empty at first.
class SideBySide {
public:
    /// Rows of the last layer's output [num_tokens, hidden_size] of an engine's prompt tokens
    /// [first, first + num_tokens).
    using HiddenSink =
        std::function<void(size_t engine, int64_t first, const float* hidden, int64_t num_tokens)>;

    /// The engines must outlive this.
    SideBySide(std::span<Engine* const> engines, Stepping stepping);

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
    /// Engines whose next token goes through the model in one pass with that of engine `i`.
    [[nodiscard]] std::vector<size_t> company(size_t i,
                                              std::span<const std::optional<int32_t>> tokens) const;

    std::span<Engine* const> engines_;
    Stepping stepping_;
    std::vector<std::unique_ptr<SequenceCache>> sequences_ = {};
};

/// What engines write, greedily.
struct Continuations {
    std::vector<std::vector<int32_t>> ids = {};  ///< of each engine, up to a special token
    std::vector<CacheUsage> usage = {};          ///< at the end
};

/// How to continue a prompt.
struct ContinueOptions {
    Stepping stepping = Stepping::kAlone;
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

}  // namespace lowkey
