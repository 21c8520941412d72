#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "attention/attention.h"
#include "model/batch.h"
#include "model/model_config.h"
#include "model/observer.h"
#include "model/weights.h"

namespace lowkey {

/// The uncompressed keys and values of one layer's prompt tokens, for the time of its attention.
class ExactPrompt;

/// One layer's attention over one batch: projections, rotation, the caches' growth, attention,
/// output projection. Made for a single run.
class LayerAttention {
public:
    /// Everything must outlive the object; `rotary` and `observer` may be null.
    LayerAttention(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                   const RotaryTable* rotary, std::span<const SequenceInput> batch,
                   ForwardObserver* observer);
    ~LayerAttention();
    LayerAttention(const LayerAttention&) = delete;
    LayerAttention& operator=(const LayerAttention&) = delete;

    /// x, out [tokens of the batch, hidden_size] f32.
    void run(const float* x, float* out);

private:
    /// Consecutive rows of k and v that join a head's cache.
    struct Append {
        HeadCache* cache;
        int64_t row;
        int64_t count;
        size_t head;
    };

    void project(const float* x);
    void rotate();
    /// Says what each KV head attends to, and what is appended before and after; reserves pages for
    /// the former.
    void plan_heads();
    /// Returns the pages that no later query sees, and reserves those for what is appended now.
    void forget_and_reserve();
    void append_all(const std::vector<Append>& appends);
    template <typename Notify>
    void observe(Notify notify);

    const ModelConfig& config_;
    const LayerWeights& weights_;
    int64_t layer_;
    const RotaryTable* rotary_;
    std::span<const SequenceInput> batch_;
    ForwardObserver* observer_;

    int64_t num_tokens_;
    // Where each KV head's vectors start in rows of k and v; its queries and results start at
    // group_size times that.
    std::vector<int64_t> k_at_;
    std::vector<int64_t> v_at_;
    int64_t k_size_ = 0;
    int64_t v_size_ = 0;

    Tensor q_;         // [num_tokens, group_size * k_size]
    Tensor k_before_;  // [num_tokens, k_size], before rotation
    Tensor k_;         // the same after it
    Tensor v_;         // [num_tokens, v_size]
    Tensor attended_;  // [num_tokens, group_size * v_size]
    std::vector<AttentionTask> tasks_;
    std::vector<std::unique_ptr<ExactPrompt>> exact_;  // of sequences that attend exactly
    std::vector<Append> before_attention_;
    std::vector<Append> after_attention_;
};

}  // namespace lowkey
