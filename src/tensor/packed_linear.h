#pragma once

#include "tensor/linear.h"

namespace lowkey {

/// A layer with bf16 weights, packed from a floating-point `weight` [out, in] into blocks of 64
/// outputs (see kPackedRows): one layout that both streams for single tokens and feeds oneDNN's
/// products, so that weights are held once. Packs in parallel.
std::unique_ptr<Linear> make_packed_linear(const TensorView& weight, std::vector<float> bias);

}  // namespace lowkey
