// Products of bf16 numbers by `vdpbf16ps`: 16 sums of two products at a time. Included by
// kernels.inl.

// One or two rows leave memory the limit: their products stay exact.
constexpr int64_t kRoundsFromRows = 3;
constexpr int64_t kRoundedRows = 8;  // of one pass: two vectors of sums each
constexpr int64_t kSumTokens = 256;  // whose weights are rounded at a time
// From one rounded row to the next: a constant, so that one register addresses all of them, and no
// power of two, so that they share no lines of the L1 cache.
constexpr int64_t kRowSize = kMaxRoundedDim + 32;
// Sums that must run side by side, because each waits six cycles for its last product and two
// products may begin in each.
constexpr int kMinSums = 12;
constexpr int kSumRegisters = 28;  // of 32: the others hold what is added

inline __m512bh as_pairs(__m512i bits) { return reinterpret_cast<const __m512bh&>(bits); }
/// The pair at p in all lanes.
inline __m512bh broadcast_pair(const uint16_t* p) {
    int32_t pair = 0;
    __builtin_memcpy(&pair, p, 4);
    return as_pairs(_mm512_set1_epi32(pair));
}

/// Calls pass.template operator()<R, kAhead>(row) over all rows. kAhead: it reads ahead, and tiles
/// from end to end, which only decoding needs: the many rows of a prompt pass over a page again and
/// again, and what they wait for is products.
template <typename Pass>
inline void for_rounded_rows(int64_t rows, Pass pass) {
    const bool ahead = rows <= kRoundedRows;
    auto block = [&]<int R>(int64_t row) {
        if (ahead) {
            pass.template operator()<R, true>(row);
        } else {
            pass.template operator()<R, false>(row);
        }
    };
    for_row_blocks<kRoundedRows>(0, rows, block);
}

/// Scores of C tiles for R rows (bf16, kRowSize apart).
template <int R, int C, bool kAhead>
inline void score_pairs(const uint16_t* q, int64_t dim, const uint16_t* tiles,
                        ReadAhead& read_ahead, float* out, int64_t out_stride) {
    constexpr int kChains = R * C < kMinSums ? 2 : 1;
    __m512 chains[kChains][R][C] = {};
    const auto add = [&](__m512(&sums)[R][C], int64_t i) {
        if constexpr (kAhead) read_ahead(C * 64);
        __m512bh keys[C];
        for (int c = 0; c < C; ++c)
            keys[c] = as_pairs(_mm512_loadu_si512(tiles + (c * dim + i) * kTileTokens));
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const __m512bh pair = broadcast_pair(q + r * kRowSize + i);
            for (int c = 0; c < C; ++c) sums[r][c] = _mm512_dpbf16_ps(sums[r][c], keys[c], pair);
        }
    };
    int64_t i = 0;
    for (; i + 2 * kChains <= dim; i += 2 * kChains) {
#pragma GCC unroll 2
        for (int k = 0; k < kChains; ++k) add(chains[k], i + 2 * k);
    }
    auto& sums = chains[0];
    if (i + 2 <= dim) add(sums, i);
    if constexpr (kChains > 1) {
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            for (int c = 0; c < C; ++c) sums[r][c] += chains[1][r][c];
        }
    }
    if (dim % 2 != 0) {
        if constexpr (kAhead) read_ahead(C * 32);
        VecF last[C];
        for (int c = 0; c < C; ++c) last[c] = load_bf16(tiles + (c * dim + dim - 1) * kTileTokens);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const VecF x = broadcast_bf16(q[r * kRowSize + dim - 1]);
            for (int c = 0; c < C; ++c) sums[r][c] = _mm512_fmadd_ps(x, last[c], sums[r][c]);
        }
    }
// Rolled up, the loop would need the sums in memory, and so would the one above.
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
        for (int c = 0; c < C; ++c)
            _mm512_storeu_ps(out + r * out_stride + c * kTileTokens, sums[r][c]);
    }
}

void score_rounded(const float* q, int64_t q_stride, int64_t rows, int64_t dim, const Tiles& tiles,
                   float* out, int64_t out_stride) {
    const auto* data = static_cast<const uint16_t*>(tiles.data);
    alignas(64) uint16_t rounded[kRoundedRows * kRowSize];
    for_rounded_rows(rows, [&]<int R, bool kAhead>(int64_t row) {
        for (int64_t r = 0; r < R; ++r)
            round_row(q + (row + r) * q_stride, dim, rounded + r * kRowSize, (dim + 1) / 2 * 2);
        ReadAhead read_ahead(tiles.soon, tiles.data, tiles.count * dim * kTileTokens * 2);
        const auto score = [&]<int C>(int64_t t) {
            score_pairs<R, C, kAhead>(rounded, dim, data + t * dim * kTileTokens, read_ahead,
                                      out + row * out_stride + t * kTileTokens, out_stride);
        };
        constexpr int kTogether = kAhead ? 1 : 2;
        int64_t t = 0;
        for (; t + kTogether <= tiles.count; t += kTogether)
            score.template operator()<kTogether>(t);
        for (; t < tiles.count; ++t) score.template operator()<1>(t);
    });
}

/// What the passes over some columns share: weights of R rows (bf16, kRowSize apart) for pairs of
/// tokens.
struct RoundedSum {
    const uint16_t* p;
    int64_t steps;  // pairs, an even number
    const uint32_t* pairs;
    int64_t dim;
    float* acc;
    int64_t acc_stride;

    /// Columns from `column` on: C vectors, of which the last may be cut off.
    template <int R, int C, bool kAhead>
    void pass(int64_t column, ReadAhead& read_ahead) const {
        constexpr int kChains = R * C < kMinSums ? 2 : 1;
        const int64_t width = dim - column < C * kLanes ? dim - column : C * kLanes;
        const __mmask16 last_lanes = first_lanes(width - (C - 1) * kLanes);
        const auto lanes = [&](int c) { return c == C - 1 ? last_lanes : kAllLanes; };
        __m512 sums[kChains][R][C] = {};
        for (int64_t s = 0; s < steps; s += kChains) {
#pragma GCC unroll 2
            for (int k = 0; k < kChains; ++k) {
                const uint32_t* line = pairs + (s + k) * dim + column;
                __m512bh values[C];
                if constexpr (kAhead) read_ahead(width * 4);
                for (int c = 0; c < C; ++c)
                    values[c] = as_pairs(_mm512_maskz_loadu_epi32(lanes(c), line + c * kLanes));
                for (int r = 0; r < R; ++r) {
                    const __m512bh weights = broadcast_pair(p + r * kRowSize + 2 * (s + k));
                    for (int c = 0; c < C; ++c)
                        sums[k][r][c] = _mm512_dpbf16_ps(sums[k][r][c], values[c], weights);
                }
            }
        }
// As in score_pairs.
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            for (int c = 0; c < C; ++c) {
                for (int k = 1; k < kChains; ++k) sums[0][r][c] += sums[k][r][c];
                float* to = acc + r * acc_stride + column + c * kLanes;
                _mm512_mask_storeu_ps(to, lanes(c),
                                      _mm512_maskz_loadu_ps(lanes(c), to) + sums[0][r][c]);
            }
        }
    }

    template <int R, bool kAhead>
    void run(ReadAhead& read_ahead) const {
        int64_t column = 0;
        if constexpr (kAhead && R * 4 <= kSumRegisters) {
            for (; column + 3 * kLanes < dim; column += 4 * kLanes)
                pass<R, 4, kAhead>(column, read_ahead);
        }
        for (; column + kLanes < dim; column += 2 * kLanes) pass<R, 2, kAhead>(column, read_ahead);
        if (column < dim) pass<R, 1, kAhead>(column, read_ahead);
    }
};

void sum_rounded(const float* p, int64_t p_stride, int64_t rows, int64_t dim, const Tiles& tiles,
                 float* acc, int64_t acc_stride) {
    const auto* pairs = static_cast<const uint32_t*>(tiles.data);
    const int64_t tokens = tiles.count * kTileTokens;
    alignas(64) uint16_t rounded[kRoundedRows * kRowSize];
    for_rounded_rows(rows, [&]<int R, bool kAhead>(int64_t row) {
        ReadAhead read_ahead(tiles.soon, tiles.data, tiles.count * dim * kTileTokens * 2);
        for (int64_t first = 0; first < tokens; first += kSumTokens) {
            const int64_t n = tokens - first < kSumTokens ? tokens - first : kSumTokens;
            for (int64_t r = 0; r < R; ++r)
                round_row(p + (row + r) * p_stride + first, n, rounded + r * kRowSize, n);
            const RoundedSum sum{
                rounded, n / 2, pairs + first / 2 * dim, dim, acc + row * acc_stride, acc_stride};
            sum.template run<R, kAhead>(read_ahead);
        }
    });
}
