#pragma once

#include <algorithm>
#include <cstdint>

#include "base/parallel.h"
#include "tensor/dtype.h"

namespace lowkey {

/// How the weights W [out, in] of a product lie in memory.
enum class WeightLayout {
    kRows,     ///< [out, in]
    kColumns,  ///< [in, out]
    kPacked,   ///< bf16 blocks of 64 outputs, see kPackedRows
};

/// A product y [tokens, out] (rows y_stride apart) = x [tokens, in] Wᵀ (+ bias [out], unless null);
/// x and W of one dtype (f32 or bf16), sums, bias and y f32. Of packed weights, oneDNN is fast only
/// where y has no gaps.
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
/// Runs it on the calling thread, by oneDNN.
void matmul(const MatmulArgs& args);

/// A part of a product that one thread computes.
struct MatmulPart {
    // Enough work to be worth a call, few enough that threads end at about the same time.
    static constexpr int64_t kTokens = 256;
    static constexpr int64_t kOut = 256;

    int64_t first_token;
    int64_t num_tokens;  ///< at most kTokens
    int64_t first_out;   ///< a multiple of kOut, so of kPackedRows
    int64_t num_out;     ///< at most kOut
};

/// Calls fn(part, thread) in parallel for the parts of a product of `tokens` × `out` results. How
/// it is cut depends on its size alone, so that results do not depend on the number of threads.
template <typename Fn>
void for_each_part(int64_t tokens, int64_t out, Fn&& fn) {
    constexpr int64_t kTokens = MatmulPart::kTokens;
    constexpr int64_t kOut = MatmulPart::kOut;
    const int64_t rows = (tokens + kTokens - 1) / kTokens;
    const int64_t columns = (out + kOut - 1) / kOut;
    // Parts of one piece of the weights follow each other.
    parallel_for_balanced(rows * columns, [&](int64_t i, int thread) {
        const int64_t token = i % rows * kTokens;
        const int64_t first = i / rows * kOut;
        fn(MatmulPart{token, std::min(kTokens, tokens - token), first, std::min(kOut, out - first)},
           thread);
    });
}

}  // namespace lowkey
