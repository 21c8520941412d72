#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace lowkey {

/// Partial softmax attention of some query rows over some tokens: per row the largest score m, the
/// sum l of exp(score - m), and the sum of exp(score - m) · value, not yet divided by l. No token
/// at all is m = -inf, l = 0, and merges as the identity. Source: online softmax (arXiv
/// 1805.02867), merged as in FlashAttention (arXiv 2205.14135).
struct AttentionState {
    std::span<float> max;  ///< [rows]
    std::span<float> sum;  ///< [rows]
    std::span<float> acc;  ///< [rows, dim]
    int64_t dim = 0;

    /// The state of no tokens.
    void clear() const;
    /// This becomes the state of the tokens of both; `other` has the same rows and dim and disjoint
    /// tokens.
    void merge(const AttentionState& other) const;
    /// out [dim] = acc / l of one row.
    void normalize_row(int64_t row, float* out) const;
};

}  // namespace lowkey
