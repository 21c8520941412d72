#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "kvcache/page_pool.h"
#include "kvcache/plan.h"
#include "kvcache/sequence_cache.h"
#include "lowkey/cache.h"
#include "model/model.h"

namespace lowkey {

/// How an engine runs.
struct EngineOptions {
    /// Hard limit of all that holds keys and values; 0: what `num_sequences` sequences of
    /// max_context can take.
    int64_t kv_budget_bytes = 0;
    /// Prompt tokens that are computed at a time: per forward pass where the prompt attends
    /// through the cache, per layer where it attends to itself exactly.
    int64_t prefill_chunk = 512;
    int64_t num_sequences = 1;  ///< that are to live at a time
};

/// Gives the buffers of a finished prompt of so many tokens, all of them freed by now, back to the
/// system: those of a whole chunk are more than decoding needs again.
void release_prompt_buffers(int64_t num_tokens, const EngineOptions& options);

/// A prompt ended between two of its chunks, because that was asked for.
struct PromptStopped {};

/// What a sequence was before a prompt of several passes: unless kept, all of them are undone when
/// this ends.
class PromptStart {
public:
    /// `several_passes`: a single one leaves nothing behind when it fails.
    PromptStart(SequenceCache& sequence, bool several_passes);
    PromptStart(PromptStart&& other) noexcept;
    PromptStart& operator=(PromptStart&&) = delete;
    /// Undoes the passes, unless they are kept.
    ~PromptStart();
    /// Whether the sequence's pages are shared to be able to return to them.
    [[nodiscard]] static bool shares_pages(const SequenceCache& sequence, bool several_passes);
    /// All passes so far stay.
    void keep() noexcept;

private:
    SequenceCache* sequence_;
    int64_t num_tokens_;
    std::unique_ptr<SequenceCache> snapshot_;  // null: cut back
};

/// A model with a cache plan and a page pool: where sequences live and run. Linear codecs of the
/// plan are folded into the weights. One thread at a time.
class Engine {
public:
    /// Rows of the last layer's output [num_tokens, hidden_size] of prompt tokens [first, first +
    /// num_tokens).
    using HiddenSink = std::function<void(int64_t first, const float* hidden, int64_t num_tokens)>;

    /// Throws UsageError when the plan does not fit the model, BudgetError when the budget holds
    /// not one page.
    Engine(const std::shared_ptr<const Model>& model, const CachePlan& plan,
           const EngineOptions& options = {});

    /// With the codecs that were folded into it.
    [[nodiscard]] const Model& model() const { return *model_; }
    /// Of the plan that folding left.
    [[nodiscard]] const CacheLayout& layout() const { return *layout_; }
    /// As given, with the budget that 0 stands for.
    [[nodiscard]] const EngineOptions& options() const { return options_; }
    /// An empty sequence, which must not outlive the engine.
    [[nodiscard]] std::unique_ptr<SequenceCache> new_sequence();

    /// Room for a sequence to grow by a prompt and then so many new tokens, kept for it as long as
    /// the reservation lives: what was admitted can be finished. Throws BudgetError, naming the
    /// bytes needed and free, when there is no such room, and UsageError when the model's context
    /// is shorter.
    [[nodiscard]] Reservation reserve(SequenceCache& sequence, int64_t prompt_tokens,
                                      int64_t new_tokens) const;
    /// Throws what reserve() would throw now; reserves nothing.
    void check_request(const SequenceCache& sequence, int64_t prompt_tokens,
                       int64_t new_tokens) const;
    /// Appends a prompt in chunks. Where the plan attends to prompts exactly, a layer takes all
    /// chunks before the next layer does, and the hidden states of the whole prompt are held.
    /// Whatever it, `sink` or `should_stop` throws leaves the sequence as it was. `should_stop` is
    /// asked between chunks: true throws PromptStopped, and the sequence holds the chunks so far.
    void prefill(SequenceCache& sequence, std::span<const int32_t> tokens, const HiddenSink& sink,
                 const std::function<bool()>& should_stop = {});
    /// Appends one token, or nothing when it throws; returns logits [vocab_size].
    Tensor decode(SequenceCache& sequence, int32_t token);
    /// prefill() that returns the logits [vocab_size] after the last token.
    Tensor prefill_logits(SequenceCache& sequence, std::span<const int32_t> tokens,
                          const std::function<bool()>& should_stop = {});

    /// What a sequence takes; the peak is the pool's since reset_peak().
    [[nodiscard]] CacheUsage usage(const SequenceCache& sequence) const;
    /// The peak is from now on what is allocated now.
    void reset_peak() { pool_->reset_peak(); }

private:
    [[nodiscard]] bool attends_exactly() const {
        return layout_->prefill_attention() == PrefillAttention::kExact;
    }
    /// How a request makes a sequence grow. Throws UsageError beyond the model's context.
    [[nodiscard]] Growth growth(const SequenceCache& sequence, int64_t prompt_tokens,
                                int64_t new_tokens) const;
    [[nodiscard]] int64_t default_budget() const;

    std::shared_ptr<const Model> model_;
    EngineOptions options_;
    std::shared_ptr<const CacheLayout> layout_;
    std::unique_ptr<PagePool> pool_;
};

}  // namespace lowkey
