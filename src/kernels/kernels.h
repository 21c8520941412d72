#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lowkey {

struct CodedShape;

/// Tokens of one tile: the unit in which the cache stores vectors and the kernels read them.
inline constexpr int kTileTokens = 16;

/// Storage of one tile of keys or values of `dim` coordinates (16 · dim elements, no padding):
///   keys f32    [dim, 16]              one coordinate of 16 tokens per row
///   keys bf16   [dim / 2, 16, 2]       pairs of coordinates adjacent; an odd last coordinate is [16]
///   values f32  [16, dim]              one token per row
///   values bf16 [8, dim, 2]            pairs of tokens adjacent
/// so that one load feeds all queries and no lane is summed across.

/// Rows of one block of a packed bf16 matrix [rows, cols]: blocks follow each other, of each
/// [padded cols / 2, 64, 2], pairs of columns adjacent, columns padded with zeros to a multiple of
/// 32 and rows to one of 64. (oneDNN's BA16a64b2a of the transposed matrix.)
inline constexpr int kPackedRows = 64;
inline constexpr int kPackedCols = 32;

/// Memory that will be read soon: a kernel asks for it while it works on something else, evenly
/// over that. Of more bytes than it works on, only the first. Empty: none.
struct SoonRead {
    const void* data = nullptr;
    int64_t bytes = 0;
};

/// Tiles that follow each other without gaps.
struct Tiles {
    const void* data;
    int64_t count;
    SoonRead soon = {};
};

/// The inner loops, compiled once per instruction set. They know tiles and numbers, nothing of
/// pages or plans, and are noexcept: they allocate, lock and log nothing. Sums are in f32 (Gram
/// matrices in f64).
struct KernelTable {
    std::string_view isa;
    /// From so many rows on (and up to 512 coordinates), score_bf16 rounds q and sum_bf16 p to
    /// bf16, because products of bf16 are several times as fast here. 0: never.
    int64_t rounds_from_rows;

    /// y[r] = w[r, :] · x, rows of `cols` elements one after another.
    void (*gemv_f32)(const float* w, int64_t rows, int64_t cols, const float* x, float* y) noexcept;
    /// The same of a packed matrix (see kPackedRows): y [num_blocks · 64], blocks `block_stride`
    /// elements apart. x has `cols` elements.
    void (*gemv_packed_bf16)(const uint16_t* w, int64_t num_blocks, int64_t block_stride,
                             int64_t cols, const float* x, float* y) noexcept;

    /// out[i, 16 · tile + t] = q[i, :] · key t of the tile, i in [0, rows); strides in elements.
    void (*score_f32)(const float* q, int64_t q_stride, int64_t rows, int64_t dim, Tiles tiles,
                      float* out, int64_t out_stride) noexcept;
    void (*score_bf16)(const float* q, int64_t q_stride, int64_t rows, int64_t dim, Tiles tiles,
                       float* out, int64_t out_stride) noexcept;

    /// acc[i, :] += Σ_t p[i, t] · value t, t in [0, 16 · tiles.count): p is 0 where a tile holds no
    /// token, and the tile's bytes there are finite numbers.
    void (*sum_f32)(const float* p, int64_t p_stride, int64_t rows, int64_t dim, Tiles tiles,
                    float* acc, int64_t acc_stride) noexcept;
    void (*sum_bf16)(const float* p, int64_t p_stride, int64_t rows, int64_t dim, Tiles tiles,
                     float* acc, int64_t acc_stride) noexcept;

    /// Bytes of a query prepared for tiles of coded keys (coded.h), a multiple of 64.
    int64_t (*coded_query_bytes)(const CodedShape& shape) noexcept;
    /// Prepares queries [rows], one after another: the weights [rows, 8 · (its runs)] of a band's
    /// coordinates, rows `stride` apart, and a number that is added to every score [rows] (null:
    /// none). Bands are prepared one by one, in any order, and again; each leaves others as they
    /// are.
    void (*prepare_coded)(const CodedShape& shape, int64_t band, const float* weights,
                          int64_t stride, const float* bias, int64_t rows,
                          std::byte* prepared) noexcept;
    /// out[i, 16 · tile + t] = scale(t) · Σ_j weight[i, j] · level j of key t + Σ_bands bias[i].
    /// What is in slots without a token gives finite numbers.
    void (*score_coded)(const CodedShape& shape, const std::byte* prepared, int64_t rows,
                        Tiles tiles, float* out, int64_t out_stride) noexcept;
    /// acc[i, j] += Σ_t p[i, t] · scale(t) · level j of value t; p >= 0 is 0 where a tile holds no
    /// token, whatever its bytes are there.
    void (*sum_coded)(const CodedShape& shape, const float* p, int64_t p_stride, int64_t rows,
                      Tiles tiles, float* acc, int64_t acc_stride) noexcept;

    /// Largest of n > 0 numbers.
    float (*max)(const float* x, int64_t n) noexcept;
    /// x[i] = exp(x[i] - shift), relative error below 2e-7, 0 for -inf and below e-87; returns the
    /// sum.
    float (*exp_sum)(float* x, int64_t n, float shift) noexcept;
    /// One step of softmax over a sequence that comes in parts, for `rows` rows of n > 0 scores:
    /// top = max(top, scores), what was summed before shrinks by exp(old top - top), scores become
    /// exp(score - top) and are added to sum. tops, sums [rows]; acc [rows, dim].
    void (*online_softmax)(float* scores, int64_t stride, int64_t rows, int64_t n, float* tops,
                           float* sums, float* acc, int64_t dim, SoonRead soon) noexcept;
    /// Σ x[i] and Σ (x[i] - shift)², in f64.
    double (*sum)(const float* x, int64_t n) noexcept;
    double (*sum_squares)(const float* x, int64_t n, double shift) noexcept;
    /// x[i] *= factor
    void (*scale)(float* x, int64_t n, float factor) noexcept;

    /// x[i] += start + step · i
    void (*add_ramp)(float* x, int64_t n, float start, float step) noexcept;
    /// x[i] = cap · tanh(x[i] / cap), absolute error below 2e-7 · cap.
    void (*softcap)(float* x, int64_t n, float cap) noexcept;

    /// Rotates an f32 key tile [dim, 16] in place: pairs (j · step, j · step + offset), j in [0,
    /// pairs), by the angles whose cosines and sines are cos, sin [pairs, 16].
    void (*rotate_tile)(float* tile, int64_t pairs, int64_t step, int64_t offset, const float* cos,
                        const float* sin) noexcept;

    /// gate[i] = gate[i] / (1 + exp(-gate[i])) · up[i]
    void (*silu_mul)(float* gate, const float* up, int64_t n) noexcept;
    /// Round to nearest even.
    void (*to_bf16)(const float* x, uint16_t* y, int64_t n) noexcept;

    /// gram[i, j] += Σ_t x[t, i] · x[t, j] for j >= i (upper triangle, row-major [dim, dim]), rows
    /// of x `stride` apart.
    void (*gram_f64)(const float* x, int64_t stride, int64_t num_tokens, int64_t dim,
                     double* gram) noexcept;
};

/// The kernels of the best instruction set of this machine, chosen once. LOWKEY_ISA (portable,
/// avx2, avx512, avx512_vnni, avx512_bf16, amx) forces one; a name that is unknown or cannot run
/// here ends in a UsageError at first use.
const KernelTable& kernels();
/// All that can run on this machine, best last; for tests.
std::vector<const KernelTable*> runnable_kernels();
/// Forces an instruction set, as LOWKEY_ISA does and in its place. Only before the first use of
/// kernels(). Throws UsageError for a name that is unknown or cannot run here.
void choose_kernels(const std::string& isa);

}  // namespace lowkey
