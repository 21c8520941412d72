#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace lowkey {

/// How the weights W [out, in] of a product lie in memory.
enum class WeightLayout {
    kRows,     ///< [out, in]
    kColumns,  ///< [in, out]
    kPacked,   ///< bf16 blocks of 64 outputs, see kPackedRows
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
