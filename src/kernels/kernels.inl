// The kernels, written once on the vectors of vec.h. A translation unit defines LOWKEY_KERNEL_ISA
// (a namespace and the table's name) and LOWKEY_VEC_BYTES and includes this file.

#include <cstddef>
#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels/coded.h"
#include "kernels/kernels.h"

// No std containers or algorithms here: their inline functions would be compiled for this
// instruction set, and the linker might keep that copy for the whole program.

namespace lowkey::LOWKEY_KERNEL_ISA {
namespace {

#include "kernels/vec.h"

constexpr int kTileVecs = kTileTokens / kLanes;
// Query rows that one pass over a tile serves: bounded by the registers that hold their sums.
constexpr int kMaxRows = LOWKEY_VEC_BYTES == 64 ? 8 : 4;

/// Calls fn.template operator()<R>(first_row) over all rows in the largest blocks that registers
/// allow.
template <int R, typename Fn>
inline void for_row_blocks(int64_t row, int64_t rows, Fn& fn) {
    for (; row + R <= rows; row += R) fn.template operator()<R>(row);
    if constexpr (R > 1) {
        if (row < rows) for_row_blocks<R - 1>(row, rows, fn);
    }
}

#include "kernels/read_ahead.inl"

// ---- products of rounded rows ----

// Longer rows are not rounded: their buffers would not fit the stack.
constexpr int64_t kMaxRoundedDim = 512;

#if defined(__AVX512BF16__)

/// The first `count` lanes, at most all of them.
inline __mmask16 first_lanes(int64_t count) {
    return static_cast<__mmask16>(count >= kLanes ? 0xffff : count <= 0 ? 0 : (1 << count) - 1);
}

/// n floats in bf16, followed by zeros up to `padded`.
inline void round_row(const float* x, int64_t n, uint16_t* to, int64_t padded) {
    const auto round = [&](int64_t at, __mmask16 from, __mmask16 into) {
        const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(from, x + at));
        _mm256_mask_storeu_epi16(to + at, into, reinterpret_cast<const __m256i&>(rounded));
    };
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) round(i, kAllLanes, kAllLanes);
    for (; i < padded; i += kLanes) round(i, first_lanes(n - i), first_lanes(padded - i));
}

/// A bf16 number in all lanes, in f32.
inline VecF broadcast_bf16(uint16_t bits) {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float x = 0;
    __builtin_memcpy(&x, &wide, 4);
    return broadcast(x);
}

#if defined(__AMX_BF16__)
#include "kernels/rounded_amx.inl"
#else
#include "kernels/rounded_avx512.inl"
#endif

#else

// Nothing is rounded: these are never called.
constexpr int64_t kRoundsFromRows = 0;
inline void score_rounded(const float*, int64_t, int64_t, int64_t, const Tiles&, float*, int64_t) {}
inline void sum_rounded(const float*, int64_t, int64_t, int64_t, const Tiles&, float*, int64_t) {}

#endif

inline bool rounds(int64_t rows, int64_t dim) {
    return kRoundsFromRows > 0 && rows >= kRoundsFromRows && dim <= kMaxRoundedDim;
}

// ---- rows of a matrix times a vector ----

template <int R>
inline void gemv_rows(const float* w, int64_t cols, const float* x, float* y) {
    VecF sum[R] = {};
    int64_t c = 0;
    for (; c + kLanes <= cols; c += kLanes) {
        const VecF xv = load(x + c);
        for (int r = 0; r < R; ++r) sum[r] += load(w + r * cols + c) * xv;
    }
    for (int r = 0; r < R; ++r) {
        float total = horizontal_sum(sum[r]);
        for (int64_t i = c; i < cols; ++i) total += w[r * cols + i] * x[i];
        y[r] = total;
    }
}

void gemv_f32(const float* w, int64_t rows, int64_t cols, const float* x, float* y) noexcept {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) gemv_rows<4>(w + r * cols, cols, x, y + r);
    for (; r < rows; ++r) gemv_rows<1>(w + r * cols, cols, x, y + r);
}

// Bytes by which products with weights ask for memory ahead, into the second cache: the processor's
// own prefetching stops at the borders of its pages of 4 KiB.
constexpr int64_t kAhead = 8192;
/// Asks for `bytes` at p + kAhead; that there is nothing does no harm.
inline void prefetch_ahead(const void* p, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(static_cast<const char*>(p) + kAhead + i, 0, 2);
}

/// 64 rows of a packed matrix: sums of all columns, `Lines` vectors of rows at a time.
template <int Lines>
inline void gemv_packed_rows(const uint16_t* w, int64_t cols, const float* x, float* y) {
    VecF even[Lines] = {};
    VecF odd[Lines] = {};
    const auto* pairs = reinterpret_cast<const uint32_t*>(w);
    for (int64_t i = 0; i < (cols + 1) / 2; ++i) {
        const float first = x[2 * i];
        const float second = 2 * i + 1 < cols ? x[2 * i + 1] : 0.0f;
        prefetch_ahead(pairs + i * kPackedRows, Lines * kLanes * 4);
        for (int v = 0; v < Lines; ++v) {
            const VecU line = load(pairs + i * kPackedRows + v * kLanes);
            even[v] += first * low_half(line);
            odd[v] += second * high_half(line);
        }
    }
    for (int v = 0; v < Lines; ++v) store(y + v * kLanes, even[v] + odd[v]);
}

void gemv_packed_bf16(const uint16_t* w, int64_t num_blocks, int64_t block_stride, int64_t cols,
                      const float* x, float* y) noexcept {
    constexpr int kLines = kPackedRows / kLanes < 4 ? kPackedRows / kLanes : 4;
    for (int64_t block = 0; block < num_blocks; ++block) {
        for (int64_t row = 0; row < kPackedRows; row += kLines * kLanes) {
            gemv_packed_rows<kLines>(w + block * block_stride + 2 * row, cols, x,
                                     y + block * kPackedRows + row);
        }
    }
}

#include "kernels/score_tiles.inl"
#include "kernels/softmax.inl"
#include "kernels/sum_tiles.inl"

#include "kernels/coded.inl"

// ---- sums ----

/// Σ fn(x[i]) over vectors of doubles; what does not fill four of them comes one by one.
template <typename Fn>
inline double sum_of(const float* x, int64_t n, Fn fn) {
    VecD sums[4] = {};
    int64_t i = 0;
    for (; i + 4 * kLanesD <= n; i += 4 * kLanesD) {
        for (int v = 0; v < 4; ++v) {
            const auto from = load_as<VecHalfF>(x + i + v * kLanesD);
            sums[v] += fn(__builtin_convertvector(from, VecD));
        }
    }
    const VecD all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    double total = 0;
    for (int lane = 0; lane < kLanesD; ++lane) total += all[lane];
    for (; i < n; ++i) total += fn(static_cast<double>(x[i]));
    return total;
}

double sum(const float* x, int64_t n) noexcept {
    return sum_of(x, n, [](auto v) { return v; });
}

double sum_squares(const float* x, int64_t n, double shift) noexcept {
    return sum_of(x, n, [shift](auto v) { return (v - shift) * (v - shift); });
}

// ---- rotation, activation, conversion ----

void rotate_tile(float* tile, int64_t pairs, int64_t step, int64_t offset, const float* cos,
                 const float* sin) noexcept {
    for (int64_t j = 0; j < pairs; ++j) {
        float* first = tile + j * step * kTileTokens;
        float* second = first + offset * kTileTokens;
        for (int v = 0; v < kTileTokens; v += kLanes) {
            const VecF c = load(cos + j * kTileTokens + v);
            const VecF s = load(sin + j * kTileTokens + v);
            const VecF a = load(first + v);
            const VecF b = load(second + v);
            store(first + v, a * c - b * s);
            store(second + v, b * c + a * s);
        }
    }
}

void silu_mul(float* gate, const float* up, int64_t n) noexcept {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        const VecF g = load(gate + i);
        store(gate + i, g / (1.0f + exp(-g)) * load(up + i));
    }
    if (i < n) {
        float g[kLanes] = {};
        float u[kLanes] = {};
        for (int64_t j = i; j < n; ++j) {
            g[j - i] = gate[j];
            u[j - i] = up[j];
        }
        const VecF gv = load(g);
        store(g, gv / (1.0f + exp(-gv)) * load(u));
        for (int64_t j = i; j < n; ++j) gate[j] = g[j - i];
    }
}

void to_bf16(const float* x, uint16_t* y, int64_t n) noexcept {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        const VecU bits = as_bits(load(x + i));
        const VecU rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
        const VecU quiet = (bits >> 16) | 0x40u;
        const VecU result = (bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded;
        store_as(y + i, __builtin_convertvector(result, VecU16));
    }
    for (; i < n; ++i) {
        uint32_t bits = 0;
        __builtin_memcpy(&bits, x + i, 4);
        y[i] = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u
                                         ? (bits >> 16) | 0x40u
                                         : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
    }
}

// ---- Gram matrices ----

void gram_f64(const float* x, int64_t stride, int64_t num_tokens, int64_t dim,
              double* gram) noexcept {
    // Blocks of 4 rows of the Gram matrix; tokens innermost, so that a block's sums stay in
    // registers.
    constexpr int kRows = 4;
    for (int64_t i0 = 0; i0 < dim; i0 += kRows) {
        const int64_t rows = dim - i0 < kRows ? dim - i0 : kRows;
        int64_t j = i0;
        for (; j + kLanesD <= dim && rows == kRows; j += kLanesD) {
            VecD sum[kRows] = {};
            for (int64_t t = 0; t < num_tokens; ++t) {
                const float* token = x + t * stride;
                const VecD right = __builtin_convertvector(load_as<VecHalfF>(token + j), VecD);
                for (int r = 0; r < kRows; ++r)
                    sum[r] += static_cast<double>(token[i0 + r]) * right;
            }
            for (int r = 0; r < kRows; ++r) {
                double* to = gram + (i0 + r) * dim + j;
                store_as(to, load_as<VecD>(to) + sum[r]);
            }
        }
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t c = j; c < dim; ++c) {
                double total = 0;
                for (int64_t t = 0; t < num_tokens; ++t) {
                    total += static_cast<double>(x[t * stride + i0 + r]) *
                             static_cast<double>(x[t * stride + c]);
                }
                gram[(i0 + r) * dim + c] += total;
            }
        }
    }
}

}  // namespace

extern const KernelTable kTable;
const KernelTable kTable = {
    .isa = LOWKEY_ISA_NAME,
    .rounds_from_rows = kRoundsFromRows,
    .gemv_f32 = gemv_f32,
    .gemv_packed_bf16 = gemv_packed_bf16,
    .score_f32 = score_f32,
    .score_bf16 = score_bf16,
    .sum_f32 = sum_f32,
    .sum_bf16 = sum_bf16,
    .coded_query_bytes = coded_query_bytes,
    .prepare_coded = prepare_coded,
    .score_coded = score_coded,
    .sum_coded = sum_coded,
    .max = max,
    .exp_sum = exp_sum,
    .online_softmax = online_softmax,
    .sum = sum,
    .sum_squares = sum_squares,
    .scale = scale,
    .add_ramp = add_ramp,
    .softcap = softcap,
    .rotate_tile = rotate_tile,
    .silu_mul = silu_mul,
    .to_bf16 = to_bf16,
    .gram_f64 = gram_f64,
};

}  // namespace lowkey::LOWKEY_KERNEL_ISA
