#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/machine_limits.h"

namespace lowkey::limits::avx512_bf16 {
namespace {

constexpr int kSums = 16;  // see limit_loops.inl
constexpr int kLanes = 16;

/// `vdpbf16ps` adds two products to each lane.
float bf16_dot(int64_t rounds) noexcept {
    __m512 sum[kSums];
    for (int i = 0; i < kSums; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
    const __m512bh ones = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1.0f), _mm512_set1_ps(1.0f));
    for (int64_t r = 0; r < rounds; ++r) {
        for (__m512& s : sum) s = _mm512_dpbf16_ps(s, ones, ones);
    }
    __m512 total = _mm512_setzero_ps();
    for (const __m512& s : sum) total = _mm512_add_ps(total, s);
    return _mm512_cvtss_f32(total);
}

}  // namespace

extern const LimitLoops kLoops;
const LimitLoops kLoops = {
    "avx512_bf16", nullptr, nullptr, 0, bf16_dot, int64_t{2} * 2 * kLanes* kSums};

}  // namespace lowkey::limits::avx512_bf16
