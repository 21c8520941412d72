#pragma once

// Vectors of LOWKEY_VEC_BYTES bytes in GCC's vector extension: the compiler chooses the
// instructions from the flags of the translation unit. Included by kernels.inl only, inside the
// namespace of one instruction set, so that the linker never merges code of different sets.

constexpr int kLanes = LOWKEY_VEC_BYTES / 4;

// aligned(4): loads and stores through these types may be unaligned.
using VecF = float __attribute__((vector_size(LOWKEY_VEC_BYTES), aligned(4), may_alias));
using VecU = uint32_t __attribute__((vector_size(LOWKEY_VEC_BYTES), aligned(4), may_alias));
using VecI = int32_t __attribute__((vector_size(LOWKEY_VEC_BYTES), aligned(4), may_alias));
using VecU16 = uint16_t __attribute__((vector_size(LOWKEY_VEC_BYTES / 2), aligned(2), may_alias));
using VecD = double __attribute__((vector_size(LOWKEY_VEC_BYTES), aligned(8), may_alias));

constexpr int kLanesD = LOWKEY_VEC_BYTES / 8;
using VecHalfF = float __attribute__((vector_size(LOWKEY_VEC_BYTES / 2), aligned(4), may_alias));

inline VecF load(const float* p) { return *reinterpret_cast<const VecF*>(p); }
inline VecU load(const uint32_t* p) { return *reinterpret_cast<const VecU*>(p); }
inline void store(float* p, VecF v) { *reinterpret_cast<VecF*>(p) = v; }
inline VecF broadcast(float x) { return x - VecF{}; }
inline VecF as_f32(VecU bits) { return reinterpret_cast<VecF&>(bits); }
inline VecU as_bits(VecF x) { return reinterpret_cast<VecU&>(x); }

/// f32 of bf16 elements.
inline VecF load_bf16(const uint16_t* p) {
    return as_f32(__builtin_convertvector(*reinterpret_cast<const VecU16*>(p), VecU) << 16);
}
/// Of pairs of bf16 in 32 bits: the first (low) and the second (high) of each.
inline VecF low_half(VecU pairs) { return as_f32(pairs << 16); }
inline VecF high_half(VecU pairs) { return as_f32(pairs & 0xffff0000u); }

inline float horizontal_sum(VecF v) {
    float total = 0;
    for (int i = 0; i < kLanes; ++i) total += v[i];
    return total;
}

/// exp(x) to 2e-7 relative (Cody and Waite's reduction, a polynomial of degree 6); 0 below -87; NaN
/// stays NaN.
inline VecF exp(VecF x) {
    constexpr float kMin = -87.0f;
    constexpr float kRound = 12582912.0f;  // 1.5 · 2^23: adding it rounds to a whole number
    const VecI tiny = x < kMin;
    x = x < kMin ? broadcast(kMin) : x;
    x = x > 88.0f ? broadcast(88.0f) : x;
    const VecF n = (x * 1.44269504f + kRound) - kRound;
    const VecF r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    VecF poly = r * 1.9875691500e-4f + 1.3981999507e-3f;
    poly = poly * r + 8.3334519073e-3f;
    poly = poly * r + 4.1665795894e-2f;
    poly = poly * r + 1.6666665459e-1f;
    poly = poly * r + 5.0000001201e-1f;
    poly = poly * (r * r) + r + 1.0f;
    const VecI exponent = (__builtin_convertvector(n, VecI) + 127) << 23;
    const VecF power = reinterpret_cast<const VecF&>(exponent);
    return tiny ? broadcast(0.0f) : poly * power;
}
