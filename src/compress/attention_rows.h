#pragma once

#include <Eigen/Core>
#include <cstdint>

namespace lowkey {

/// f32, row-major: rows are tokens.
using TokenMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using TokenMap = Eigen::Map<const TokenMatrix, Eigen::Unaligned, Eigen::OuterStride<>>;
using TokenRef = Eigen::Ref<const TokenMatrix, Eigen::Unaligned, Eigen::OuterStride<>>;

/// c = alpha · a · b, or alpha · a · bᵀ.
void multiply(const TokenRef& a, const TokenRef& b, bool transpose_b, float alpha, TokenMatrix& c);

/// Probabilities [num_rows, first_row + num_rows] with which the queries (after rotation) of tokens
/// [first_row, first_row + num_rows) attend to the tokens from the first on; 0 for those that come
/// later. For observers: attention itself never holds a row of scores.
TokenMatrix attention_probabilities(const TokenRef& q, const TokenRef& k, float softmax_scale,
                                    int64_t first_row, int64_t num_rows);

}  // namespace lowkey
