#pragma once

#include <cstdint>
#include <vector>

#include "compress/attention_rows.h"
#include "compress/calibration.h"

namespace lowkey {

/// Adds up Grams of keys and queries in which a pair counts as much as an error of its score moves
/// the layer's output: with weights a over values v and result o of a query, an error e of one
/// score moves the result by a (v - o) e, so the pair (i, j) counts c = a_ij² ‖(v_j - o_i) Wo‖².
/// "K_attended" is Σ c kᵀk of keys before rotation; "Q_attended" is Σ c qᵀq of queries rotated
/// relative to the key (as a key before rotation meets them), both summed over the group's query
/// heads. Pairs are too many for the latter: a query counts those at kQuantiles even quantiles of
/// its c. The part of the first tokens is by keys' positions. Rows of attention exist for one block
/// of queries at a time.
class AttendedGrams {
public:
    /// Adds to `stats`, whose sets "K_attended" and "Q_attended" are there; both must outlive this.
    AttendedGrams(const Model& model, CalibrationStats& stats);

    /// Keys of one whole sequence, before rotation, kept until add() of the same layer.
    void keep_keys(const ObservedTokens& seen);
    /// Queries and keys after rotation, and values, of the same tokens. Fills upper triangles.
    void add(const ObservedTokens& seen);

private:
    struct HeadSums;
    struct Head;
    void add_rows(const Head& head, int64_t first_row, int64_t num_rows, HeadSums& sums) const;
    void add_queries(const Head& head, int64_t token, const float* counts, HeadSums& sums) const;

    const Model& model_;
    CalibrationStats& stats_;
    std::vector<std::vector<TokenMatrix>> metrics_;  ///< [layer][query head]: Wo_h Wo_hᵀ
    std::vector<float> keys_;                        ///< [tokens, num_kv_heads, head_dim]
};

}  // namespace lowkey
