#pragma once

#include <cstdint>

namespace lowkey {

/// Vectors of consecutive tokens of one sequence at one layer, as the forward pass computes them.
/// Token t, head h of `q` is at q + t · q_stride + h · head_dim; `k`, `v` and `out` alike. f32;
/// valid during the call.
struct ObservedTokens {
    int64_t layer = 0;
    int64_t sequence = 0;        ///< index in the batch
    int64_t first_position = 0;  ///< of token 0
    int64_t num_tokens = 0;
    const float* q = nullptr;  ///< [num_tokens, num_heads, head_dim]
    const float* k = nullptr;  ///< [num_tokens, num_kv_heads, head_dim]
    const float* v = nullptr;
    const float* out = nullptr;  ///< attention's result, [num_tokens, num_heads, head_dim]
    int64_t q_stride = 0;
    int64_t kv_stride = 0;
    int64_t out_stride = 0;
};

/// Looks at a forward pass without changing it: calibration, head scores and goldens are observers.
/// Only the pointers named by each call are set.
class ForwardObserver {
public:
    virtual ~ForwardObserver() = default;
    /// q, k, v after projection and bias, before rotation.
    virtual void on_projected(const ObservedTokens&) {}
    /// q, k after rotation, v. Called for models without rotation too, with the same vectors.
    virtual void on_rotated(const ObservedTokens&) {}
    /// out: what attention gives to the output projection.
    virtual void on_attention(const ObservedTokens&) {}
    /// The layer's output for all tokens of the batch, [num_tokens, hidden_size].
    virtual void on_layer_output(int64_t /*layer*/, const float* /*hidden*/,
                                 int64_t /*num_tokens*/) {}
};

}  // namespace lowkey
