#pragma once

#include <Eigen/Core>
#include <cstdint>

#include "model/model_config.h"

namespace lowkey {

/// f32, row-major: rows are tokens.
using TokenMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using TokenMap = Eigen::Map<const TokenMatrix, Eigen::Unaligned, Eigen::OuterStride<>>;
using TokenRef = Eigen::Ref<const TokenMatrix, Eigen::Unaligned, Eigen::OuterStride<>>;

/// Queries of a head whose rows of probabilities exist at a time.
inline constexpr int64_t kBlockRows = 128;

/// c = alpha · a · b, or alpha · a · bᵀ.
void multiply(const TokenRef& a, const TokenRef& b, bool transpose_b, float alpha, TokenMatrix& c);

/// How one query head's scores come about, as in attention itself.
struct ScoreRules {
    float softmax_scale = 1;
    float softcap = 0;           ///< 0: not
    float alibi_slope = 0;       ///< per position of distance
    int64_t sliding_window = 0;  ///< 0: none
};
ScoreRules score_rules(const ModelConfig& config, int64_t layer, int64_t head);

/// Probabilities [num_rows, first_row + num_rows] with which the queries (after rotation) of tokens
/// [first_row, first_row + num_rows) attend to the tokens from the first on; 0 for those that come
/// later or lie outside the window. For observers: attention itself never holds a row of scores.
TokenMatrix attention_probabilities(const TokenRef& q, const TokenRef& k, const ScoreRules& rules,
                                    int64_t first_row, int64_t num_rows);

}  // namespace lowkey
