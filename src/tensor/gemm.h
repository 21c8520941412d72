#pragma once

#include <cstdint>

namespace lowkey {

/// Rows of f32 numbers, `stride` apart.
struct GemmOperand {
    const float* data = nullptr;
    int64_t stride = 0;
    bool transposed = false;  ///< the operand is the transpose of what lies there
};

/// c [m, n] = alpha · a [m, k] · b [k, n], rows of c `c_stride` apart; sums in f32
/// (oneDNN). Runs on the calling thread.
void gemm(int64_t m, int64_t n, int64_t k, float alpha, const GemmOperand& a, const GemmOperand& b,
          float* c, int64_t c_stride);

}  // namespace lowkey
