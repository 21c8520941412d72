#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <vector>

#include "model/model.h"

namespace lowkey {

/// Wo_h Wo_hᵀ [head_dim, head_dim] of every query head h of a layer, where Wo_h [head_dim,
/// hidden_size] is its part of the output projection: the length that a change of the head's
/// result has in the residual stream is measured by it.
std::vector<Eigen::MatrixXd> output_metrics(const Model& model, int64_t layer);

}  // namespace lowkey
