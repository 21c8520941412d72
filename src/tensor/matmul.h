#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace lowkey {

/// How the weights W [out, in] of a product lie in memory.
enum class WeightLayout {
    kRows,    ///< [out, in]
    kPacked,  ///< blocks of 64 outputs, [out / 64, in / 2, 64, 2] bf16 or [out / 64, in, 64] f32;
              ///< `out` padded to 64, `in` to 32 (bf16) or 16 (f32), with zeros
};

/// A product y [tokens, out] (rows y_stride apart) = x [tokens, in] Wᵀ (+ bias [out], unless null);
/// x and W of one dtype (f32 or bf16), sums, bias and y f32.
struct MatmulArgs {
    const void* x;
    const void* w;
    DType dtype;
    WeightLayout layout;
    int64_t tokens;
    int64_t out;
    int64_t in;
    const float* bias;
    float* y;
    int64_t y_stride;
};
/// Runs it on all threads, by oneDNN.
void matmul(const MatmulArgs& args);

}  // namespace lowkey
