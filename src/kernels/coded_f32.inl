// Coded tiles in f32: their levels are written out as tiles of f32 numbers, which all rows share.
// Included by coded.inl.

#if defined(__AVX2__)

inline __m256i every_byte(int x) { return _mm256_set1_epi8(static_cast<char>(x)); }

/// Codes [128] of a run, as they stand in its two registers, a quarter at a time.
template <int kWidth>
inline void unpack_codes(const uint8_t* run, uint8_t* codes) {
    __m256i quarters[4] = {};
    int shift = 0;
    const auto load = [&] { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(run)); };
    const auto add = [&](int i, __m256i field) {
        quarters[i] = _mm256_or_si256(quarters[i], _mm256_slli_epi16(field, shift));
    };
    for (; kWidth - shift >= 4; shift += 4) {
        for (int i = 0; i < 2; ++i, run += 32) {
            const __m256i two = load();
            add(i, _mm256_and_si256(two, every_byte(15)));
            add(i + 2, _mm256_and_si256(_mm256_srli_epi16(two, 4), every_byte(15)));
        }
    }
    if constexpr (kWidth % 4 >= 2) {
        const __m256i all = load();
        for (int i = 0; i < 4; ++i)
            add(i, _mm256_and_si256(_mm256_srli_epi16(all, 2 * i), every_byte(3)));
        shift += 2;
        run += 32;
    }
    if constexpr (kWidth % 2 != 0) {
        const __m256i all =
            _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(run)));
        for (int i = 0; i < 4; ++i) {
            // Bit 2 · i in the first half of the quarter, the next in the second.
            const __m256i bit =
                _mm256_blend_epi32(every_byte(1 << (2 * i)), every_byte(2 << (2 * i)), 0xf0);
            const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(all, bit), bit);
            add(i, _mm256_and_si256(set, every_byte(1)));
        }
    }
    for (int i = 0; i < 4; ++i)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + 32 * i), quarters[i]);
}

#else

/// Codes [128] of a run, as they stand in its two registers.
template <int kWidth>
inline void unpack_codes(const uint8_t* run, uint8_t* codes) {
    int shift = 0;
    for (int i = 0; i < kRunCodes; ++i) codes[i] = 0;
    for (; kWidth - shift >= 4; shift += 4, run += 64) {
        for (int i = 0; i < kHalfRun; ++i) {
            codes[i] |= static_cast<uint8_t>((run[i] & 0xf) << shift);
            codes[kHalfRun + i] |= static_cast<uint8_t>(run[i] >> 4 << shift);
        }
    }
    if (kWidth % 4 >= 2) {
        for (int part = 0; part < 4; ++part) {
            for (int i = 0; i < 32; ++i)
                codes[32 * part + i] |= static_cast<uint8_t>((run[i] >> (2 * part) & 3) << shift);
        }
        shift += 2;
        run += 32;
    }
    if (kWidth % 2 != 0) {
        for (int part = 0; part < 8; ++part) {
            for (int i = 0; i < 16; ++i)
                codes[16 * part + i] |= static_cast<uint8_t>((run[i] >> part & 1) << shift);
        }
    }
}

#endif

/// Levels [128] of a run, as the codes stand.
template <int kWidth>
inline void unpack_levels(const uint8_t* run, int8_t* levels) {
    uint8_t codes[kRunCodes];
    unpack_codes<kWidth>(run, codes);
    if constexpr (kWidth == 8) {
        for (int i = 0; i < kRunCodes; ++i) levels[i] = static_cast<int8_t>(codes[i] - 128);
    } else if constexpr (kWidth > 5) {
        for (int i = 0; i < kRunCodes; ++i)
            levels[i] = static_cast<int8_t>(2 * codes[i] + 1 - (1 << kWidth));
    } else {
        const int8_t* table = kCodedTables.levels[kWidth - 1];
#if defined(__AVX2__)
        const auto sixteen = [&](int at) {
            return _mm256_broadcastsi128_si256(
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(table + at)));
        };
        const __m256i low = sixteen(0);
        const __m256i high = sixteen(16);
        for (int i = 0; i < kRunCodes; i += 32) {
            const __m256i code = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i));
            __m256i level = _mm256_shuffle_epi8(low, code);
            if constexpr (kWidth == 5) {
                // Bit 4, moved to where a choice between bytes looks.
                level = _mm256_blendv_epi8(level, _mm256_shuffle_epi8(high, code),
                                           _mm256_slli_epi16(code, 3));
            }
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(levels + i), level);
        }
#else
        for (int i = 0; i < kRunCodes; ++i) levels[i] = table[codes[i]];
#endif
    }
}

inline void unpack_run(int width, const uint8_t* run, int8_t* levels) {
    switch (width) {
        case 1:
            return unpack_levels<1>(run, levels);
        case 2:
            return unpack_levels<2>(run, levels);
        case 3:
            return unpack_levels<3>(run, levels);
        case 4:
            return unpack_levels<4>(run, levels);
        case 5:
            return unpack_levels<5>(run, levels);
        case 6:
            return unpack_levels<6>(run, levels);
        case 7:
            return unpack_levels<7>(run, levels);
        default:
            return unpack_levels<8>(run, levels);
    }
}

/// Byte `i` of each 32 bits, with its sign, in f32.
inline VecF signed_byte(VecI four, int i) {
    return __builtin_convertvector((four << (24 - 8 * i)) >> 24, VecF);
}

/// Levels of a run of keys, times their tokens' scales: [8, 16].
inline void spread_keys(const int8_t* levels, const float* scales, float* to) {
    for (int reg = 0; reg < 2; ++reg) {
        for (int t = 0; t < kTileTokens; t += kLanes) {
            const auto four = load_as<VecI>(levels + kHalfRun * reg + 4 * t);
            const VecF scale = load(scales + t);
            for (int c = 0; c < 4; ++c)
                store(to + (4 * reg + c) * kTileTokens + t, signed_byte(four, c) * scale);
        }
    }
}

// As many coordinates of a value as a vector holds of its run's 8.
#if LOWKEY_VEC_BYTES == 64
using CoordI = VecHalfI;
using CoordF = VecHalfF;
#else
using CoordI = VecI;
using CoordF = VecF;
#endif
constexpr int kCoordLanes = sizeof(CoordI) / 4;

/// Of values: [16, 8], tokens `stride` apart.
inline void spread_values(const int8_t* levels, const float* scales, float* to, int64_t stride) {
    for (int t = 0; t < kTileTokens; t += 4) {
        for (int c = 0; c < kRunCoords; c += kCoordLanes) {
            const auto four = load_as<CoordI>(levels + kRunCoords * t + 4 * c);
            for (int i = 0; i < 4; ++i) {
                const auto level = __builtin_convertvector((four << (24 - 8 * i)) >> 24, CoordF);
                store_as(to + (t + i) * stride + c, level * scales[t + i]);
            }
        }
    }
}

/// Some runs of all tokens of a tile.
struct TilePart {
    const CodedShape& shape;
    int64_t run;
    int64_t runs;
    int64_t bytes = 0;

    TilePart(const CodedShape& of, int64_t first)
        : shape(of), run(first), runs(of.runs - first < kPartRuns ? of.runs - first : kPartRuns) {
        for (int64_t i = 0; i < runs; ++i) bytes += kTileTokens * shape.widths[run + i];
    }

    /// Calls fn(run of the part, its levels) for all of them.
    template <typename Fn>
    void each(const uint8_t* tile, Fn fn) const {
        const uint8_t* at = tile + run_offset(shape, run);
        for (int64_t i = 0; i < runs; ++i) {
            alignas(64) int8_t levels[kRunCodes];
            unpack_run(shape.widths[run + i], at, levels);
            fn(i, levels);
            at += kTileTokens * shape.widths[run + i];
        }
    }
};

// A prepared query: weights [8 · runs] and numbers to add [bands], in f32.

int64_t coded_query_bytes(const CodedShape& shape) noexcept {
    return (shape.runs * kRunCoords + shape.bands + 15) / 16 * 64;
}

void prepare_coded(const CodedShape& shape, int64_t band, const float* weights, int64_t stride,
                   const float* bias, int64_t rows, std::byte* prepared) noexcept {
    const int64_t first = band == 0 ? 0 : shape.band_ends[band - 1] * kRunCoords;
    const int64_t coords = shape.band_ends[band] * kRunCoords - first;
    const int64_t query_bytes = coded_query_bytes(shape);
    for (int64_t r = 0; r < rows; ++r) {
        auto* query = reinterpret_cast<float*>(prepared + r * query_bytes);
        for (int64_t i = 0; i < coords; ++i) query[first + i] = weights[r * stride + i];
        query[shape.runs * kRunCoords + band] = bias == nullptr ? 0 : bias[r];
    }
}

void score_coded(const CodedShape& shape, const std::byte* prepared, int64_t rows, Tiles tiles,
                 float* out, int64_t out_stride) noexcept {
    const int64_t tile_bytes = shape.tile_bytes();
    const int64_t query_size = coded_query_bytes(shape) / 4;
    const auto* queries = reinterpret_cast<const float*>(prepared);
    ReadAhead read_ahead(tiles.soon, tiles.data, tiles.count * tile_bytes);
    ReadAhead nothing({}, tiles.data, 1);
    alignas(64) float keys[kPartCoords * kTileTokens];
    for (int64_t tile = 0; tile < tiles.count; ++tile) {
        const uint8_t* data = static_cast<const uint8_t*>(tiles.data) + tile * tile_bytes;
        float scales[kTileTokens];
        token_scales(shape.scaled, data + tile_bytes - kScaleBytes, scales);
        for (int64_t i = 0; i < rows; ++i) {
            float bias = 0;
            for (int64_t b = 0; b < shape.bands; ++b)
                bias += queries[i * query_size + shape.runs * kRunCoords + b];
            float* to = out + i * out_stride + tile * kTileTokens;
            for (int v = 0; v < kTileTokens; v += kLanes) store(to + v, broadcast(bias));
        }
        for (int64_t run = 0; run < shape.runs; run += kPartRuns) {
            const TilePart part(shape, run);
            read_ahead(part.bytes);
            part.each(data, [&](int64_t i, const int8_t* levels) {
                spread_keys(levels, scales, keys + i * kRunCodes);
            });
            auto block = [&]<int R>(int64_t row) {
                float sums[R * kTileTokens];
                score_tile_f32<R>(queries + row * query_size + run * kRunCoords, query_size,
                                  part.runs * kRunCoords, keys, nothing, sums, kTileTokens);
                for (int r = 0; r < R; ++r) {
                    float* to = out + (row + r) * out_stride + tile * kTileTokens;
                    for (int v = 0; v < kTileTokens; v += kLanes)
                        store(to + v, load(to + v) + load(sums + r * kTileTokens + v));
                }
            };
            for_row_blocks<kMaxRows>(0, rows, block);
        }
    }
}

void sum_coded(const CodedShape& shape, const float* p, int64_t p_stride, int64_t rows, Tiles tiles,
               float* acc, int64_t acc_stride) noexcept {
    const int64_t tile_bytes = shape.tile_bytes();
    ReadAhead read_ahead(tiles.soon, tiles.data, tiles.count * tile_bytes);
    alignas(64) float values[kPartCoords * kTileTokens];
    for (int64_t run = 0; run < shape.runs; run += kPartRuns) {
        const TilePart part(shape, run);
        const int64_t coords = part.runs * kRunCoords;
        const int64_t together = kPartCoords / coords;  // tiles
        for (int64_t tile = 0; tile < tiles.count; tile += together) {
            const int64_t count = tiles.count - tile < together ? tiles.count - tile : together;
            for (int64_t k = 0; k < count; ++k) {
                read_ahead(part.bytes);
                const uint8_t* data =
                    static_cast<const uint8_t*>(tiles.data) + (tile + k) * tile_bytes;
                float scales[kTileTokens];
                token_scales(shape.scaled, data + tile_bytes - kScaleBytes, scales);
                part.each(data, [&](int64_t i, const int8_t* levels) {
                    spread_values(levels, scales,
                                  values + k * kTileTokens * coords + i * kRunCoords, coords);
                });
            }
            sum_f32(p + tile * kTileTokens, p_stride, rows, coords, {values, count},
                    acc + run * kRunCoords, acc_stride);
        }
    }
}
