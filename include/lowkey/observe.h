#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "lowkey/export.h"
#include "lowkey/model.h"

namespace lowkey::api {

/// The vectors of a sequence's tokens at one layer: what attention is computed from. Keys and
/// queries are rotated to their positions where the model does so. f32; valid during the call that
/// shows them.
struct LOWKEY_API LayerVectors {
    int64_t layer = 0;
    int64_t num_tokens = 0;
    int64_t num_heads = 0;
    int64_t num_kv_heads = 0;  ///< query head h attends with KV head h / (num_heads / num_kv_heads)
    int64_t head_dim = 0;
    double softmax_scale = 0;  ///< scores are softmax_scale · q · k (before ALiBi or a soft cap)

    /// [head_dim] each, of token `token` in [0, num_tokens).
    [[nodiscard]] std::span<const float> query(int64_t token, int64_t head) const {
        return row(queries, token, query_stride, head);
    }
    [[nodiscard]] std::span<const float> key(int64_t token, int64_t kv_head) const {
        return row(keys, token, kv_stride, kv_head);
    }
    [[nodiscard]] std::span<const float> value(int64_t token, int64_t kv_head) const {
        return row(values, token, kv_stride, kv_head);
    }

    // Where they lie: token t, head h at t · stride + h · head_dim.
    const float* queries = nullptr;
    const float* keys = nullptr;
    const float* values = nullptr;
    int64_t query_stride = 0;
    int64_t kv_stride = 0;

private:
    [[nodiscard]] std::span<const float> row(const float* first, int64_t token, int64_t stride,
                                             int64_t head) const {
        return {first + token * stride + head * head_dim, static_cast<size_t>(head_dim)};
    }
};

/// Runs a sequence through the uncompressed model and shows the vectors of each layer, the first
/// layer first. `on_layer` runs on the calling thread; what it throws ends the run. Throws
/// UsageError for no tokens, ids outside the vocabulary and more tokens than the context holds.
LOWKEY_API void observe(const Model& model, std::span<const int32_t> tokens,
                        const std::function<void(const LayerVectors& seen)>& on_layer);

}  // namespace lowkey::api
