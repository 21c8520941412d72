#pragma once

#include "tensor/linear.h"

namespace lowkey {

/// A layer with f32 weights [out, in], used where they lie: in `owned`, or in memory that outlives
/// the layer.
std::unique_ptr<Linear> make_f32_linear(Tensor owned, const TensorView& weight,
                                        std::vector<float> bias);

}  // namespace lowkey
