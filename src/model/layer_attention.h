#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "attention/attention.h"
#include "model/batch.h"
#include "model/buffers.h"
#include "model/model_config.h"
#include "model/observer.h"
#include "model/weights.h"

namespace lowkey {

/// The uncompressed keys and values of one layer's prompt tokens, for the time of its attention.
class ExactPrompt;

/// One layer's attention over one batch: projections, rotation, the caches' growth, attention,
/// output projection. Made for a single pass, which may come in slices; what attends exactly is
/// written to its caches at the end. The layer's heads begin a step, which the caller ends.
class LayerAttention {
public:
    /// Everything must outlive the object; `batch` is the whole pass; `rotary` and `observer` may
    /// be null.
    LayerAttention(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                   const RotaryTable* rotary, std::span<const SequenceInput> batch,
                   ForwardObserver* observer, ForwardBuffers& buffers);
    ~LayerAttention();
    LayerAttention(const LayerAttention&) = delete;
    LayerAttention& operator=(const LayerAttention&) = delete;

    /// The next tokens of some sequences of the batch: x, out [tokens of the slice, hidden_size]
    /// f32.
    void run(std::span<const SequenceInput> slice, const float* x, float* out);
    /// Encodes the prompts that attended to themselves exactly.
    void finish();

private:
    /// What one KV head of one sequence of the slice has to do.
    struct HeadStep {
        size_t input;  ///< in the slice
        size_t head;
        HeadCache* cache;
        ExactPrompt* exact;  ///< null: attends through the cache
        int64_t row;         ///< of the slice, where its tokens begin
    };

    void project(const float* x);
    void rotate();
    /// Grows the caches (or the exact prompts) by the slice's tokens.
    void append();
    void attend_all();
    /// Lets go what no later query sees.
    void retire();
    [[nodiscard]] TokenRows rows(int64_t first, int64_t count, size_t head) const;
    template <typename Notify>
    void observe(Notify notify);

    const ModelConfig& config_;
    const LayerWeights& weights_;
    int64_t layer_;
    const RotaryTable* rotary_;
    std::span<const SequenceInput> batch_;
    ForwardObserver* observer_;
    Scratch& buffers_;
    AttentionBuffers& attention_buffers_;

    // Where each KV head's vectors start in rows of k and v; its queries and results start at
    // group_size times that.
    std::vector<int64_t> k_at_;
    std::vector<int64_t> v_at_;
    int64_t k_size_ = 0;
    int64_t v_size_ = 0;
    bool wants_before_ = false;                        // a codec takes keys before rotation
    std::vector<std::unique_ptr<ExactPrompt>> exact_;  // of the batch; null where through the cache

    // The slice.
    std::span<const SequenceInput> slice_;
    int64_t num_tokens_ = 0;
    std::span<float> q_;         // [num_tokens, group_size * k_size]
    std::span<float> k_before_;  // [num_tokens, k_size], before rotation, if it is wanted
    std::span<float> k_;         // the same after it
    std::span<float> v_;         // [num_tokens, v_size]
    std::span<float> attended_;  // [num_tokens, group_size * v_size]
    std::vector<HeadStep> steps_;
};

}  // namespace lowkey
