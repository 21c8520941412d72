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
    /// Hard limit of the page pool; 0: what `num_sequences` sequences of max_context take.
    int64_t kv_budget_bytes = 0;
    /// Prompt tokens that are computed at a time: per forward pass where the prompt attends
    /// through the cache, per layer where it attends to itself exactly.
    int64_t prefill_chunk = 512;
    int64_t num_sequences = 1;  ///< that are to live at a time
};

/// Gives the buffers of a finished prompt of so many tokens, all of them freed by now, back to the
/// system: those of a whole chunk are more than decoding needs again.
void release_prompt_buffers(int64_t num_tokens, const EngineOptions& options);

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

    [[nodiscard]] const Model& model() const { return *model_; }
    [[nodiscard]] const CacheLayout& layout() const { return *layout_; }
    [[nodiscard]] const EngineOptions& options() const { return options_; }
    [[nodiscard]] std::unique_ptr<SequenceCache> new_sequence();

    /// Throws BudgetError, naming the bytes needed, when a sequence could not grow by a prompt and
    /// then so many new tokens, and UsageError when the model's context is shorter.
    void check_request(const SequenceCache& sequence, int64_t prompt_tokens,
                       int64_t new_tokens) const;
    /// Appends a prompt in chunks. Where the plan attends to prompts exactly, a layer takes all
    /// chunks before the next layer does, and the hidden states of the whole prompt are held.
    void prefill(SequenceCache& sequence, std::span<const int32_t> tokens, const HiddenSink& sink);
    /// Appends one token; returns logits [vocab_size].
    Tensor decode(SequenceCache& sequence, int32_t token);
    /// prefill() that returns the logits [vocab_size] after the last token. `between_chunks` may
    /// throw to give up; the sequence then holds the chunks so far.
    Tensor prefill_logits(SequenceCache& sequence, std::span<const int32_t> tokens,
                          const std::function<void()>& between_chunks = {});

    [[nodiscard]] CacheUsage usage(const SequenceCache& sequence) const;

private:
    [[nodiscard]] bool attends_exactly() const {
        return layout_->prefill_attention() == PrefillAttention::kExact;
    }
    /// The most tokens that a head holds beyond its window at a time. Prompts that are attended to
    /// exactly are written once that is done, so that none is.
    [[nodiscard]] int64_t step() const { return attends_exactly() ? 1 : options_.prefill_chunk; }

    std::shared_ptr<const Model> model_;
    EngineOptions options_;
    std::shared_ptr<const CacheLayout> layout_;
    std::unique_ptr<PagePool> pool_;
};

}  // namespace lowkey
