// Weighted sums of value tiles, a few columns at a time. Included by kernels.inl.

/// The tokens of one step (one of f32, a pair of bf16), coordinates from `column` on.
struct ValuesF32 {
    const float* data;
    static constexpr int kTokens = 1;
    void load(int64_t step, int64_t dim, int64_t column, VecF (&tokens)[kTokens]) const {
        tokens[0] = load_as<VecF>(data + step * dim + column);
    }
    void load(int64_t step, int64_t dim, int64_t column, VecHalfF (&tokens)[kTokens]) const {
        tokens[0] = load_as<VecHalfF>(data + step * dim + column);
    }
    float one(int64_t step, int64_t dim, int64_t column, const float* p) const {
        return p[step] * data[step * dim + column];
    }
};

struct ValuesBF16 {
    const uint32_t* data;
    static constexpr int kTokens = 2;
    void load(int64_t step, int64_t dim, int64_t column, VecF (&tokens)[kTokens]) const {
        const auto pairs = load_as<VecU>(data + step * dim + column);
        tokens[0] = low_half(pairs);
        tokens[1] = high_half(pairs);
    }
    void load(int64_t step, int64_t dim, int64_t column, VecHalfF (&tokens)[kTokens]) const {
        const auto pairs = load_as<VecHalfU>(data + step * dim + column);
        tokens[0] = low_half(pairs);
        tokens[1] = high_half(pairs);
    }
    float one(int64_t step, int64_t dim, int64_t column, const float* p) const {
        const uint32_t pair = data[step * dim + column];
        const uint32_t bits[2] = {pair << 16, pair & 0xffff0000u};
        float x[2];
        __builtin_memcpy(x, bits, 8);
        return p[2 * step] * x[0] + p[2 * step + 1] * x[1];
    }
};

/// What the passes over some rows share. Sums of a pass stay in registers.
template <typename Values>
struct WeightedSum {
    const float* p;
    int64_t p_stride;
    int64_t dim;
    Values values;
    int64_t steps;
    float* acc;
    int64_t acc_stride;

    /// C whole vectors of columns from `column` on, then H half vectors from `half` on, for R rows.
    /// The last vector may overlap columns that are done: its lanes before `skip` do not count.
    template <int R, int C, int H>
    void pass(int64_t column, int64_t half, int skip, ReadAhead& read_ahead) const {
        constexpr int kTokens = Values::kTokens;
        VecF sum[C + 1][R] = {};
        VecHalfF half_sum[R] = {};
        for (int64_t s = 0; s < steps; ++s) {
            read_ahead((C * kLanes + H * kLanes / 2 - skip) * 4);
            VecF tokens[C + 1][kTokens];
            for (int c = 0; c < C; ++c) values.load(s, dim, column + c * kLanes, tokens[c]);
            VecHalfF half_tokens[kTokens];
            if constexpr (H > 0) values.load(s, dim, half, half_tokens);
            for (int r = 0; r < R; ++r) {
                for (int k = 0; k < kTokens; ++k) {
                    VecF weight = broadcast(p[r * p_stride + s * kTokens + k]);
                    if constexpr (H > 0) weight = in_register(weight);
                    for (int c = 0; c < C; ++c) sum[c][r] += weight * tokens[c][k];
                    if constexpr (H > 0) half_sum[r] += first_half(weight) * half_tokens[k];
                }
            }
        }
        for (int r = 0; r < R; ++r) {
            float* to = acc + r * acc_stride;
            for (int c = 0; c < C; ++c)
                add_lanes(to + column + c * kLanes, sum[c][r], H == 0 && c == C - 1 ? skip : 0);
            if constexpr (H > 0) add_lanes(to + half, half_sum[r], skip);
        }
    }

    /// Whole vectors from `column` on, C at a time where there are so many, and a half one after
    /// them if `half` columns are left. Returns the first column that is not done.
    template <int R, int C>
    int64_t whole(int64_t column, int64_t half, ReadAhead& read_ahead) const {
        constexpr int64_t kWidth = C * kLanes;
        for (; column + kWidth <= dim; column += kWidth) {
            if (half > 0 && column + kWidth + half == dim) {
                pass<R, C, 1>(column, dim - kLanes / 2, static_cast<int>(kLanes / 2 - half),
                              read_ahead);
                return dim;
            }
            pass<R, C, 0>(column, 0, 0, read_ahead);
        }
        if constexpr (C > 1) return whole<R, C / 2>(column, half, read_ahead);
        return column;
    }

    /// Whole vectors of columns that R rows' sums leave registers for.
    template <int R>
    static constexpr int together() {
        return R * 4 <= (LOWKEY_VEC_BYTES == 64 ? 16 : 4) ? 4 : 2;
    }

    template <int R>
    void run(ReadAhead read_ahead) const {
        constexpr int kHalf = kLanes / 2;
        constexpr int kTogether = together<R>();
        const int64_t rest = dim % kLanes;
        const int64_t column = whole<R, kTogether>(0, rest <= kHalf ? rest : 0, read_ahead);
        if (column == dim) return;
        const auto left = static_cast<int>(dim - column);
        if (dim >= kLanes) {
            pass<R, 1, 0>(dim - kLanes, 0, kLanes - left, read_ahead);
        } else if (dim >= kHalf) {
            pass<R, 0, 1>(0, 0, 0, read_ahead);
            if (dim > kHalf) pass<R, 0, 1>(kLanes, dim - kHalf, kLanes - left, read_ahead);
        } else {
            for (int r = 0; r < R; ++r) {
                for (int64_t c = 0; c < dim; ++c) {
                    float total = 0;
                    for (int64_t s = 0; s < steps; ++s)
                        total += values.one(s, dim, c, p + r * p_stride);
                    acc[r * acc_stride + c] += total;
                }
            }
        }
    }
};

template <typename Values>
inline void sum_tiles(const float* p, int64_t p_stride, int64_t rows, int64_t dim, Values values,
                      const Tiles& tiles, float* acc, int64_t acc_stride) {
    const int64_t steps = tiles.count * kTileTokens / Values::kTokens;
    auto block = [&]<int R>(int64_t row) {
        const WeightedSum<Values> sum{p + row * p_stride,     p_stride,  dim, values, steps,
                                      acc + row * acc_stride, acc_stride};
        sum.template run<R>(ReadAhead(tiles.soon, tiles.data,
                                      tiles.count * dim * kTileTokens * 4 / Values::kTokens));
    };
    for_row_blocks<kMaxRows>(0, rows, block);
}

void sum_f32(const float* p, int64_t p_stride, int64_t rows, int64_t dim, Tiles tiles, float* acc,
             int64_t acc_stride) noexcept {
    sum_tiles(p, p_stride, rows, dim, ValuesF32{static_cast<const float*>(tiles.data)}, tiles, acc,
              acc_stride);
}
void sum_bf16(const float* p, int64_t p_stride, int64_t rows, int64_t dim, Tiles tiles, float* acc,
              int64_t acc_stride) noexcept {
    if (rounds(rows, dim)) {
        sum_rounded(p, p_stride, rows, dim, tiles, acc, acc_stride);
        return;
    }
    sum_tiles(p, p_stride, rows, dim, ValuesBF16{static_cast<const uint32_t*>(tiles.data)}, tiles,
              acc, acc_stride);
}
