// Scores of key tiles: products of query rows and the keys of whole tiles. Included by kernels.inl.

template <int R>
inline void score_tile_f32(const float* q, int64_t q_stride, int64_t dim, const float* tile,
                           ReadAhead& read_ahead, float* out, int64_t out_stride) {
    VecF sum[R][kTileVecs] = {};
    for (int64_t i = 0; i < dim; ++i) {
        read_ahead(kTileTokens * 4);
        for (int v = 0; v < kTileVecs; ++v) {
            const VecF key = load(tile + i * kTileTokens + v * kLanes);
            for (int r = 0; r < R; ++r) sum[r][v] += q[r * q_stride + i] * key;
        }
    }
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < kTileVecs; ++v) store(out + r * out_stride + v * kLanes, sum[r][v]);
    }
}

/// T tiles at once, so that an element of q, once it is in a register, meets several keys.
template <int R, int T>
inline void score_tiles_bf16(const float* q, int64_t q_stride, int64_t dim, const uint16_t* tiles,
                             ReadAhead& read_ahead, float* out, int64_t out_stride) {
    constexpr int kVecs = T * kTileVecs;
    // With few sums one chain of additions for each would be slower than memory.
    constexpr int kChains = R * kVecs <= kMaxRows ? 2 : 1;
    VecF sum[kChains][R][kVecs] = {};
    const int64_t tile_size = dim * kTileTokens;
    const auto at = [&](int64_t i, int v) {
        return tiles + v / kTileVecs * tile_size + i * kTileTokens + v % kTileVecs * 2 * kLanes;
    };
    for (int64_t i = 0; i + 2 <= dim; i += 2) {
        VecF first[kVecs];
        VecF second[kVecs];
        read_ahead(T * 2 * kTileTokens * 2);
        for (int v = 0; v < kVecs; ++v) {
            const VecU pairs = load(reinterpret_cast<const uint32_t*>(at(i, v)));
            first[v] = low_half(pairs);
            second[v] = high_half(pairs);
        }
        for (int r = 0; r < R; ++r) {
            const VecF a = broadcast(q[r * q_stride + i]);
            const VecF b = broadcast(q[r * q_stride + i + 1]);
            for (int v = 0; v < kVecs; ++v) sum[0][r][v] += a * first[v];
            for (int v = 0; v < kVecs; ++v) sum[kChains - 1][r][v] += b * second[v];
        }
    }
    if (dim % 2 != 0) {
        read_ahead(T * kTileTokens * 2);
        for (int v = 0; v < kVecs; ++v) {
            const VecF key = load_bf16(tiles + v / kTileVecs * tile_size + (dim - 1) * kTileTokens +
                                       v % kTileVecs * kLanes);
            for (int r = 0; r < R; ++r) sum[0][r][v] += q[r * q_stride + dim - 1] * key;
        }
    }
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < kVecs; ++v) {
            VecF total = sum[0][r][v];
            if constexpr (kChains > 1) total += sum[1][r][v];
            store(out + r * out_stride + v * kLanes, total);
        }
    }
}

void score_f32(const float* q, int64_t q_stride, int64_t rows, int64_t dim, Tiles tiles, float* out,
               int64_t out_stride) noexcept {
    const auto* data = static_cast<const float*>(tiles.data);
    auto block = [&]<int R>(int64_t row) {
        ReadAhead read_ahead(tiles.soon, data, tiles.count * dim * kTileTokens * 4);
        for (int64_t t = 0; t < tiles.count; ++t) {
            score_tile_f32<R>(q + row * q_stride, q_stride, dim, data + t * dim * kTileTokens,
                              read_ahead, out + row * out_stride + t * kTileTokens, out_stride);
        }
    };
    for_row_blocks<kMaxRows>(0, rows, block);
}

void score_bf16(const float* q, int64_t q_stride, int64_t rows, int64_t dim, Tiles tiles,
                float* out, int64_t out_stride) noexcept {
    const auto* data = static_cast<const uint16_t*>(tiles.data);
    if (rounds(rows, dim)) {
        score_rounded(q, q_stride, rows, dim, tiles, out, out_stride);
        return;
    }
    auto block = [&]<int R>(int64_t row) {
        // With few rows memory is the limit, and one stream of it is read faster than two.
        constexpr int kTogether = kTileVecs > 1 || R <= 2 ? 1 : 2;
        ReadAhead read_ahead(tiles.soon, data, tiles.count * dim * kTileTokens * 2);
        const auto score = [&]<int T>(int64_t t) {
            score_tiles_bf16<R, T>(q + row * q_stride, q_stride, dim, data + t * dim * kTileTokens,
                                   read_ahead, out + row * out_stride + t * kTileTokens,
                                   out_stride);
        };
        int64_t t = 0;
        for (; t + kTogether <= tiles.count; t += kTogether)
            score.template operator()<kTogether>(t);
        for (; t < tiles.count; ++t) score.template operator()<1>(t);
    };
    for_row_blocks<kMaxRows>(0, rows, block);
}
