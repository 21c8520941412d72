#pragma once

// Vectors of LOWKEY_VEC_BYTES bytes in GCC's vector extension: the compiler chooses the
// instructions from the flags of the translation unit. Included by kernels.inl only, inside the
// namespace of one instruction set, so that the linker never merges code of different sets.

constexpr int kLanes = LOWKEY_VEC_BYTES / 4;

using VecF = float __attribute__((vector_size(LOWKEY_VEC_BYTES)));
using VecU = uint32_t __attribute__((vector_size(LOWKEY_VEC_BYTES)));
using VecI = int32_t __attribute__((vector_size(LOWKEY_VEC_BYTES)));
using VecU16 = uint16_t __attribute__((vector_size(LOWKEY_VEC_BYTES / 2)));
using VecD = double __attribute__((vector_size(LOWKEY_VEC_BYTES)));

constexpr int kLanesD = LOWKEY_VEC_BYTES / 8;
using VecHalfF = float __attribute__((vector_size(LOWKEY_VEC_BYTES / 2)));
using VecHalfU = uint32_t __attribute__((vector_size(LOWKEY_VEC_BYTES / 2)));
using VecHalfI = int32_t __attribute__((vector_size(LOWKEY_VEC_BYTES / 2)));

/// Memory is read and written through these alone: it is aligned to its elements, no more.
template <class Vec>
inline Vec load_as(const void* p) {
    Vec v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}
template <class Vec>
inline void store_as(void* p, Vec v) {
    __builtin_memcpy(p, &v, sizeof(v));
}
template <class To, class From>
inline To bits_as(From v) {
    static_assert(sizeof(To) == sizeof(From));
    return load_as<To>(&v);
}

inline VecF load(const float* p) { return load_as<VecF>(p); }
inline VecU load(const uint32_t* p) { return load_as<VecU>(p); }
inline void store(float* p, VecF v) { store_as(p, v); }
inline VecF broadcast(float x) { return x - VecF{}; }
/// Tells the compiler to keep v in a register, where it would load it for each use.
inline VecF in_register(VecF v) {
#if defined(__AVX512F__)
    asm("" : "+v"(v));
#elif defined(__SSE2__)
    asm("" : "+x"(v));
#endif
    return v;
}
/// Its first lanes.
inline VecHalfF first_half(VecF v) {
#if LOWKEY_VEC_BYTES == 64
    return __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
#elif LOWKEY_VEC_BYTES == 32
    return __builtin_shufflevector(v, v, 0, 1, 2, 3);
#else
    return __builtin_shufflevector(v, v, 0, 1);
#endif
}
inline VecF as_f32(VecU bits) { return bits_as<VecF>(bits); }
inline VecHalfF as_f32(VecHalfU bits) { return bits_as<VecHalfF>(bits); }
inline VecU as_bits(VecF x) { return bits_as<VecU>(x); }

/// f32 of bf16 elements.
inline VecF load_bf16(const uint16_t* p) {
    return as_f32(__builtin_convertvector(load_as<VecU16>(p), VecU) << 16);
}
/// Of pairs of bf16 in 32 bits: the first (low) and the second (high) of each.
inline VecF low_half(VecU pairs) { return as_f32(pairs << 16); }
inline VecF high_half(VecU pairs) { return as_f32(pairs & 0xffff0000u); }
inline VecHalfF low_half(VecHalfU pairs) { return as_f32(pairs << 16); }
inline VecHalfF high_half(VecHalfU pairs) { return as_f32(pairs & 0xffff0000u); }

/// p[i] += v[i] for lanes from `first` on.
inline void add_lanes(float* p, VecF v, int first) {
    VecI lane;
    for (int i = 0; i < kLanes; ++i) lane[i] = i;
    store(p, load(p) + (lane >= first ? v : VecF{}));
}
inline void add_lanes(float* p, VecHalfF v, int first) {
    VecHalfI lane;
    for (int i = 0; i < kLanes / 2; ++i) lane[i] = i;
    store_as(p, load_as<VecHalfF>(p) + (lane >= first ? v : VecHalfF{}));
}

/// The lanes of v, `kBy` places further round.
#if LOWKEY_VEC_BYTES == 64
#define LOWKEY_TURNED(v, kBy)                                                                   \
    __builtin_shufflevector(v, v, (kBy), (kBy) + 1, (kBy) + 2, (kBy) + 3, (kBy) + 4, (kBy) + 5, \
                            (kBy) + 6, (kBy) + 7, (kBy) + 8, (kBy) + 9, (kBy) + 10, (kBy) + 11, \
                            (kBy) + 12, (kBy) + 13, (kBy) + 14, (kBy) + 15)
#elif LOWKEY_VEC_BYTES == 32
#define LOWKEY_TURNED(v, kBy)                                                                   \
    __builtin_shufflevector(v, v, (kBy), (kBy) + 1, (kBy) + 2, (kBy) + 3, (kBy) + 4, (kBy) + 5, \
                            (kBy) + 6, (kBy) + 7)
#else
#define LOWKEY_TURNED(v, kBy) __builtin_shufflevector(v, v, (kBy), (kBy) + 1, (kBy) + 2, (kBy) + 3)
#endif

/// All lanes folded into one, in halves.
template <typename Fold>
inline float fold_lanes(VecF v, Fold fold) {
#if LOWKEY_VEC_BYTES >= 64
    v = fold(v, LOWKEY_TURNED(v, 8));
#endif
#if LOWKEY_VEC_BYTES >= 32
    v = fold(v, LOWKEY_TURNED(v, 4));
#endif
    v = fold(v, LOWKEY_TURNED(v, 2));
    v = fold(v, LOWKEY_TURNED(v, 1));
    return v[0];
}

inline VecF larger(VecF a, VecF b) { return a > b ? a : b; }
inline float horizontal_max(VecF v) { return fold_lanes(v, larger); }
inline float horizontal_sum(VecF v) {
    return fold_lanes(v, [](VecF a, VecF b) { return a + b; });
}

#if defined(__AVX512F__)
constexpr __mmask16 kAllLanes = 0xffff;
constexpr bool kPowersUnderflow = true;
inline VecF round_to_whole(VecF x) {
    return _mm512_maskz_roundscale_ps(kAllLanes, x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/// x · 2^n
inline VecF times_power(VecF x, VecF n) { return _mm512_maskz_scalef_ps(kAllLanes, x, n); }
#else
constexpr bool kPowersUnderflow = false;
/// Of numbers below 2^22.
inline VecF round_to_whole(VecF x) {
    constexpr float kRound = 12582912.0f;  // 1.5 · 2^23: adding it rounds to a whole number
    return (x + kRound) - kRound;
}
/// x · 2^n, n from -126 to 127
inline VecF times_power(VecF x, VecF n) {
    const VecI exponent = (__builtin_convertvector(n, VecI) + 127) << 23;
    return x * bits_as<VecF>(exponent);
}
#endif

/// exp(x) of numbers up to 88, to 2e-7 relative; 0 below -87, NaN stays NaN. x = n · ln 2 + r, and
/// exp(r) is a polynomial of degree 5 that is 1 at 0, fitted to [-ln 2 / 2, ln 2 / 2] (off by 1e-7
/// at most).
inline VecF exp_to_88(VecF x) {
    constexpr float kMin = -87.0f;
    const VecI tiny = x < kMin;
    if constexpr (!kPowersUnderflow) x = tiny ? broadcast(kMin) : x;
    const VecF n = round_to_whole(x * 1.44269504f);
    const VecF r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    VecF poly = r * 8.29027e-3f + 4.189816e-2f;
    poly = poly * r + 0.16667638f;
    poly = poly * r + 0.49999148f;
    poly = poly * r + 0.99999971f;
    poly = poly * r + 1.0f;
    return tiny ? broadcast(0.0f) : times_power(poly, n);
}
/// The same of any number; exp(88) above 88.
inline VecF exp(VecF x) { return exp_to_88(x > 88.0f ? broadcast(88.0f) : x); }
