// Products of bf16 numbers by `vdpbf16ps`: 16 sums of two products at a time. Included by
// kernels.inl.

constexpr int64_t kRoundedRows = 8;  // of one pass: two vectors of sums each
constexpr int64_t kSumTokens = 256;  // whose weights are rounded at a time
// From one rounded row to the next: a constant, so that one register addresses all of them, and no
// power of two, so that they share no lines of the L1 cache.
constexpr int64_t kRowSize = kMaxRoundedDim + 32;

inline __m512bh as_pairs(const void* p) {
    const __m512i bits = _mm512_loadu_si512(p);
    return reinterpret_cast<const __m512bh&>(bits);
}
/// The pair at p in all lanes.
inline __m512bh broadcast_pair(const uint16_t* p) {
    int32_t pair = 0;
    __builtin_memcpy(&pair, p, 4);
    const __m512i bits = _mm512_set1_epi32(pair);
    return reinterpret_cast<const __m512bh&>(bits);
}

/// sums[R][C] += rows' pairs (bf16, kRowSize apart) · lines; line i of column vector c is at
/// lines(i, c).
template <int R, int C, typename Lines>
inline void multiply_pairs(const uint16_t* rows, int64_t num_pairs, Lines lines,
                           __m512 (&sums)[R][C]) {
    for (int64_t i = 0; i < num_pairs; ++i) {
        __m512bh line[C];
        for (int c = 0; c < C; ++c) line[c] = lines(i, c);
        for (int r = 0; r < R; ++r) {
            const __m512bh pair = broadcast_pair(rows + r * kRowSize + 2 * i);
            for (int c = 0; c < C; ++c) sums[r][c] = _mm512_dpbf16_ps(sums[r][c], line[c], pair);
        }
    }
}

template <int R, int C>
inline void score_pairs(const uint16_t* q, int64_t dim, const uint16_t* tile, float* out,
                        int64_t out_stride) {
    __m512 sums[R][C] = {};
    multiply_pairs<R, C>(
        q, dim / 2,
        [&](int64_t i, int c) { return as_pairs(tile + (c * dim + 2 * i) * kTileTokens); }, sums);
    for (int c = 0; c < C && dim % 2 != 0; ++c) {
        const VecF last = load_bf16(tile + (c * dim + dim - 1) * kTileTokens);
        for (int r = 0; r < R; ++r) {
            float x = 0;
            const uint32_t bits = static_cast<uint32_t>(q[r * kRowSize + dim - 1]) << 16;
            __builtin_memcpy(&x, &bits, 4);
            sums[r][c] = _mm512_fmadd_ps(_mm512_set1_ps(x), last, sums[r][c]);
        }
    }
    for (int r = 0; r < R; ++r) {
        for (int c = 0; c < C; ++c)
            _mm512_storeu_ps(out + r * out_stride + c * kTileTokens, sums[r][c]);
    }
}

void score_rounded(const float* q, int64_t q_stride, int64_t rows, int64_t dim,
                   const uint16_t* tiles, int64_t num_tiles, float* out, int64_t out_stride) {
    alignas(64) uint16_t rounded[kRoundedRows * kRowSize];
    auto block = [&]<int R>(int64_t row) {
        for (int64_t r = 0; r < R; ++r)
            round_row(q + (row + r) * q_stride, dim, rounded + r * kRowSize, (dim + 1) / 2 * 2);
        float* to = out + row * out_stride;
        int64_t t = 0;
        for (; t + 2 <= num_tiles; t += 2) {
            score_pairs<R, 2>(rounded, dim, tiles + t * dim * kTileTokens, to + t * kTileTokens,
                              out_stride);
        }
        if (t < num_tiles) {
            score_pairs<R, 1>(rounded, dim, tiles + t * dim * kTileTokens, to + t * kTileTokens,
                              out_stride);
        }
    };
    for_row_blocks<kRoundedRows>(0, rows, block);
}

/// acc rows [R, lanes of C vectors] += weights' pairs · token pairs.
template <int R, int C>
inline void sum_pairs(const uint16_t* p, int64_t steps, int64_t dim, const uint32_t* pairs,
                      float* acc, int64_t acc_stride, __mmask16 last_lanes) {
    __m512 sums[R][C] = {};
    multiply_pairs<R, C>(
        p, steps,
        [&](int64_t i, int c) {
            const uint32_t* from = pairs + i * dim + c * kLanes;
            const __m512i bits =
                c == C - 1 ? _mm512_maskz_loadu_epi32(last_lanes, from) : _mm512_loadu_si512(from);
            return reinterpret_cast<const __m512bh&>(bits);
        },
        sums);
    for (int r = 0; r < R; ++r) {
        for (int c = 0; c < C; ++c) {
            const __mmask16 lanes = c == C - 1 ? last_lanes : static_cast<__mmask16>(0xffff);
            float* to = acc + r * acc_stride + c * kLanes;
            _mm512_mask_storeu_ps(to, lanes,
                                  _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, to), sums[r][c]));
        }
    }
}

void sum_rounded(const float* p, int64_t p_stride, int64_t rows, int64_t dim, const uint32_t* pairs,
                 int64_t num_tiles, float* acc, int64_t acc_stride) {
    const int64_t tokens = num_tiles * kTileTokens;
    alignas(64) uint16_t rounded[kRoundedRows * kRowSize];
    const auto lanes_of = [](int64_t columns) {
        return static_cast<__mmask16>(columns >= kLanes ? 0xffff : (1 << columns) - 1);
    };
    auto block = [&]<int R>(int64_t row) {
        for (int64_t first = 0; first < tokens; first += kSumTokens) {
            const int64_t n = tokens - first < kSumTokens ? tokens - first : kSumTokens;
            for (int64_t r = 0; r < R; ++r)
                round_row(p + (row + r) * p_stride + first, n, rounded + r * kRowSize, n);
            const uint32_t* from = pairs + first / 2 * dim;
            float* to = acc + row * acc_stride;
            for (int64_t column = 0; column < dim; column += 2 * kLanes) {
                const int64_t width = dim - column;
                if (width > kLanes) {
                    sum_pairs<R, 2>(rounded, n / 2, dim, from + column, to + column, acc_stride,
                                    lanes_of(width - kLanes));
                } else {
                    sum_pairs<R, 1>(rounded, n / 2, dim, from + column, to + column, acc_stride,
                                    lanes_of(width));
                }
            }
        }
    };
    for_row_blocks<kRoundedRows>(0, rows, block);
}
