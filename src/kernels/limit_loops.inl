// Loops that reach a limit of the machine, for one instruction set. A translation unit defines
// LOWKEY_LIMIT_ISA, LOWKEY_ISA_NAME, LOWKEY_VEC_BYTES and includes this file. No std code here, as
// in kernels.inl.

#include <cstddef>
#include <cstdint>

#include "kernels/machine_limits.h"

namespace lowkey::limits::LOWKEY_LIMIT_ISA {
namespace {

using VecF = float __attribute__((vector_size(LOWKEY_VEC_BYTES)));
using VecU = uint64_t __attribute__((vector_size(LOWKEY_VEC_BYTES)));

// Sums that do not wait for each other: enough for two units of four or five cycles, few enough for
// the registers and for the compiler to unroll their loop (GCC: up to 16), which keeps them there.
constexpr int kSums = LOWKEY_VEC_BYTES == 64 ? 16 : 12;

uint64_t read(const std::byte* data, int64_t bytes) noexcept {
    constexpr int kStreams = 512 / LOWKEY_VEC_BYTES;
    VecU seen[kStreams] = {};
    for (int64_t i = 0; i < bytes; i += 512) {
        for (int s = 0; s < kStreams; ++s) {
            VecU from;  // of memory that is not aligned to vectors
            __builtin_memcpy(&from, data + i + s * LOWKEY_VEC_BYTES, sizeof(from));
            seen[s] |= from;
        }
    }
    uint64_t all = 0;
    for (const VecU& vec : seen) {
        for (int lane = 0; lane < LOWKEY_VEC_BYTES / 8; ++lane) all |= vec[lane];
    }
    return all;
}

float f32_dot(int64_t rounds) noexcept {
    VecF sum[kSums];
    // Halved and added to, numbers come down to 2. None starts there: the compiler would see that
    // it stays.
    for (int i = 0; i < kSums; ++i) sum[i] = VecF{} + static_cast<float>(3 + i);
    const VecF half = VecF{} + 0.5f;
    const VecF one = VecF{} + 1.0f;
    for (int64_t r = 0; r < rounds; ++r) {
        for (int i = 0; i < kSums; ++i) sum[i] = sum[i] * half + one;
    }
    VecF total = {};
    for (const VecF& vec : sum) total += vec;
    return total[0];
}

}  // namespace

extern const LimitLoops kLoops;
const LimitLoops kLoops = {LOWKEY_ISA_NAME, read, f32_dot, 2 * kSums*(LOWKEY_VEC_BYTES / 4),
                           nullptr,         0};

}  // namespace lowkey::limits::LOWKEY_LIMIT_ISA
