// Coded tiles by `vpdpbusd`, which adds 4 products of 8-bit numbers in each of 16 lanes: levels are
// spread over bytes once for all rows; weights are rounded to 8 bits. Included by coded.inl.

constexpr int64_t kCodedRows = 8;   // of one pass
constexpr int64_t kLevelTiles = 4;  // whose levels are held at a time

inline __m512i load_bytes(const void* p) { return _mm512_loadu_si512(p); }
inline __m512i every_byte(int x) { return _mm512_set1_epi8(static_cast<char>(x)); }

// Bits of results of three operands: bit 4 · a + 2 · b + c.
constexpr int kOrAnd = 0xf8;     // a | (b & c)
constexpr int kOrAndNot = 0xf2;  // a | (~b & c)
constexpr int kAndOr = 0xea;     // (a & b) | c
constexpr int kChoose = 0xca;    // a ? b : c
template <int kResults>
inline __m512i logic(__m512i a, __m512i b, __m512i c) {
    return _mm512_ternarylogic_epi32(a, b, c, kResults);
}

/// sum += products of unsigned and signed bytes, four in each lane. GCC 12 copies sums twice for each
/// call of the function that stands for this instruction.
inline void add_products(VecI& sum, __m512i unsigned_bytes, __m512i signed_bytes) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unsigned_bytes), "v"(signed_bytes));
}

// ---- codes to levels ----

/// Products of a signed and an unsigned number: weights of keys are signed, of values unsigned, and
/// levels the other.
enum class Signs { kUnsigned, kSigned };

/// Fields of kBits bits of register kReg, at bit kTo of their bytes; other bits are anything.
template <int kBits, int kReg, int kTo>
inline __m512i fields(__m512i section) {
    constexpr int kFrom = 4 * kReg;
    if constexpr (kBits == 4) {
        if constexpr (kTo == kFrom) return section;
        return _mm512_maskz_rol_epi64(0xff, section, (kTo - kFrom + 64) % 64);
    } else {
        // Of the quarters of the register.
        constexpr auto kTurn = [](int i) { return (kTo - kFrom - i / kBits * kBits + 64) % 64; };
        const __m512i turns = _mm512_setr_epi64(kTurn(0), kTurn(0), kTurn(1), kTurn(1), kTurn(2),
                                                kTurn(2), kTurn(3), kTurn(3));
        return _mm512_maskz_rolv_epi64(0xff, section, turns);
    }
}

/// The sections of a run in as many registers: shorter ones repeat.
struct Sections {
    __m512i four = _mm512_setzero_si512();
    __m512i high_four = _mm512_setzero_si512();
    __m512i two = _mm512_setzero_si512();
    __m512i one = _mm512_setzero_si512();
};
template <int kWidth>
inline Sections load_sections(const uint8_t* run) {
    Sections s;
    if constexpr (kWidth >= 4) {
        s.four = load_bytes(run);
        run += 64;
    }
    if constexpr (kWidth == 8) s.high_four = load_bytes(run);
    if constexpr (kWidth % 4 >= 2) {
        s.two = _mm512_maskz_broadcast_i64x4(
            0xff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(run)));
        run += 32;
    }
    if constexpr (kWidth % 2 != 0) {
        s.one = _mm512_maskz_broadcast_i32x4(
            0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(run)));
    }
    return s;
}

/// What turns the codes of a width into levels.
template <int kWidth, Signs kSigns>
struct LevelsOf {
    // Levels are signed; 128 more makes them unsigned.
    static constexpr int kFlip = kSigns == Signs::kUnsigned ? 0x80 : 0;
    __m512i first;   // levels of the 16 lowest codes, four times
    __m512i second;  // of the next 16

    LevelsOf() : first(sixteen(0)), second(sixteen(16)) {}
    static __m512i sixteen(int code) {
        const int8_t* levels = kCodedTables.levels[kWidth - 1] + code;
        const __m512i all = _mm512_maskz_broadcast_i32x4(
            0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels)));
        return _mm512_xor_si512(all, every_byte(kFlip));
    }

    /// Which bytes of register kReg have the field of 1 bit set.
    template <int kReg>
    static __mmask64 set(const Sections& s) {
        constexpr auto kBits = [](int i) {
            return static_cast<int64_t>(uint64_t{0x0101010101010101} << (4 * kReg + i));
        };
        const __m512i bits = _mm512_setr_epi64(kBits(0), kBits(0), kBits(1), kBits(1), kBits(2),
                                               kBits(2), kBits(3), kBits(3));
        return _mm512_test_epi8_mask(s.one, bits);
    }

    /// Levels of one of the run's two registers.
    template <int kReg>
    __m512i operator()(const Sections& s) const {
        if constexpr (kWidth == 1) {
            return _mm512_mask_blend_epi8(set<kReg>(s), every_byte(-6 ^ kFlip),
                                          every_byte(6 ^ kFlip));
        } else if constexpr (kWidth <= 3) {
            __m512i code = _mm512_and_si512(fields<2, kReg, 0>(s.two), every_byte(3));
            if constexpr (kWidth == 3) {
                code = logic<kOrAnd>(code, fields<1, kReg, 2>(s.one), every_byte(4));
            }
            return _mm512_shuffle_epi8(first, code);
        } else if constexpr (kWidth <= 5) {
            const __m512i code = _mm512_and_si512(fields<4, kReg, 0>(s.four), every_byte(15));
            const __m512i level = _mm512_shuffle_epi8(first, code);
            if constexpr (kWidth == 4) return level;
            return _mm512_mask_shuffle_epi8(level, set<kReg>(s), second, code);
        } else if constexpr (kWidth == 6) {
            // Twice the code, of which the level is an even function.
            __m512i twice = _mm512_and_si512(fields<4, kReg, 1>(s.four), every_byte(0x1e));
            twice = logic<kOrAnd>(twice, fields<2, kReg, 5>(s.two), every_byte(0x60));
            return _mm512_add_epi8(twice, every_byte(-63 ^ kFlip));
        } else if constexpr (kWidth == 7) {
            __m512i level =
                logic<kAndOr>(fields<4, kReg, 1>(s.four), every_byte(0x1e), every_byte(1));
            level = logic<kOrAnd>(level, fields<2, kReg, 5>(s.two), every_byte(0x60));
            constexpr int kTop = kFlip != 0 ? kOrAnd : kOrAndNot;
            return logic<kTop>(level, fields<1, kReg, 7>(s.one), every_byte(0x80));
        } else {
            const __m512i level = logic<kChoose>(every_byte(15), fields<4, kReg, 0>(s.four),
                                                 fields<4, kReg, 4>(s.high_four));
            return kFlip != 0 ? level : _mm512_xor_si512(level, every_byte(0x80));
        }
    }
};

// From one tile's levels to the next's: a constant, so that one register addresses all of them, and
// no power of two, so that they share no lines of the L1 cache.
constexpr int64_t kLevelsSize = kPartRuns * kRunCodes + 64;

/// Runs of one width that follow each other, in some tiles.
struct EqualRuns {
    int64_t first;  // of those whose levels are held
    int64_t runs;
    const uint8_t* from;  // in the first tile
    int64_t tile_bytes;
    int64_t tiles;
    uint8_t* levels;  // of the runs that are held, in the first tile
};

/// Keys' levels: the two registers of a run, one after another, unsigned.
template <int kWidth>
inline void spread_keys(const EqualRuns& equal) {
    const LevelsOf<kWidth, Signs::kUnsigned> levels;
    for (int64_t k = 0; k < equal.tiles; ++k) {
        const uint8_t* from = equal.from + k * equal.tile_bytes;
        uint8_t* to = equal.levels + k * kLevelsSize + equal.first * kRunCodes;
        for (int64_t i = 0; i < equal.runs; ++i) {
            const Sections s = load_sections<kWidth>(from + i * kTileTokens * kWidth);
            _mm512_storeu_si512(to + i * kRunCodes, levels.template operator()<0>(s));
            _mm512_storeu_si512(to + i * kRunCodes + 64, levels.template operator()<1>(s));
        }
    }
}

/// Values' levels, signed: 4 tokens of its 8 coordinates per 32 bytes, which stand 64 bytes apart,
/// so that two runs fill 4 registers.
template <int kWidth>
inline void spread_values(const EqualRuns& equal) {
    const LevelsOf<kWidth, Signs::kSigned> levels;
    for (int64_t k = 0; k < equal.tiles; ++k) {
        const uint8_t* from = equal.from + k * equal.tile_bytes;
        for (int64_t i = 0; i < equal.runs; ++i) {
            const int64_t run = equal.first + i;
            uint8_t* to = equal.levels + k * kLevelsSize + run / 2 * 2 * kRunCodes + run % 2 * 32;
            const Sections s = load_sections<kWidth>(from + i * kTileTokens * kWidth);
            const auto put = [&](__m512i reg, int at) {
                __builtin_memcpy(to + at, &reg, 32);
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + at + 64),
                                    _mm512_maskz_extracti64x4_epi64(0xff, reg, 1));
            };
            put(levels.template operator()<0>(s), 0);
            put(levels.template operator()<1>(s), 128);
        }
    }
}

/// Calls fn.template operator()<width>().
template <typename Fn>
inline void with_width(int width, Fn fn) {
    switch (width) {
        case 1:
            return fn.template operator()<1>();
        case 2:
            return fn.template operator()<2>();
        case 3:
            return fn.template operator()<3>();
        case 4:
            return fn.template operator()<4>();
        case 5:
            return fn.template operator()<5>();
        case 6:
            return fn.template operator()<6>();
        case 7:
            return fn.template operator()<7>();
        default:
            return fn.template operator()<8>();
    }
}

/// Calls spread.template operator()<width>() for runs of one width after another, which it finds in
/// `equal`: choosing the loop for a width takes longer than a tile's run does.
template <typename Spread>
inline void for_equal_runs(const uint8_t* widths, int64_t runs, EqualRuns& equal,
                           ReadAhead& read_ahead, Spread spread) {
    while (equal.first < runs) {
        const int width = widths[equal.first];
        int64_t end = equal.first + 1;
        while (end < runs && widths[end] == width) ++end;
        equal.runs = end - equal.first;
        with_width(width, spread);
        const int64_t bytes = equal.runs * kTileTokens * width;
        read_ahead(equal.tiles * bytes);
        equal.from += bytes;
        equal.first = end;
    }
}

/// Scales of a tile's tokens, as token_scales() gives them.
inline __m512 token_scales_of(bool scaled, const uint8_t* nibbles) {
    if (!scaled) return _mm512_set1_ps(1);
    const __m128i pairs =
        _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(nibbles)));
    const __m128i apart =
        _mm_and_si128(_mm_or_si128(pairs, _mm_slli_epi16(pairs, 4)), _mm_set1_epi8(15));
    return _mm512_maskz_permutexvar_ps(kAllLanes, _mm512_maskz_cvtepu8_epi32(kAllLanes, apart),
                                       _mm512_loadu_ps(kCodedTables.scales));
}

// ---- queries ----

// A prepared query: weights [8 · runs] in 8 bits, padded to 16, and what belongs to each band.
struct QueryBand {
    float scale;  // of its weights
    float bias;
    int32_t offset;  // -128 · Σ weights: levels are 128 too large
    int32_t unused;
};

inline int64_t weight_bytes(const CodedShape& shape) {
    return (shape.runs * kRunCoords + 15) / 16 * 16;
}
inline QueryBand query_band(const std::byte* query, const CodedShape& shape, int64_t band) {
    return load_as<QueryBand>(query + weight_bytes(shape) +
                              band * static_cast<int64_t>(sizeof(QueryBand)));
}

int64_t coded_query_bytes(const CodedShape& shape) noexcept {
    const int64_t bytes =
        weight_bytes(shape) + shape.bands * static_cast<int64_t>(sizeof(QueryBand));
    return (bytes + 63) / 64 * 64;
}

void prepare_coded(const CodedShape& shape, int64_t band, const float* weights, int64_t stride,
                   const float* bias, int64_t rows, std::byte* prepared) noexcept {
    const int64_t first = band == 0 ? 0 : shape.band_ends[band - 1] * kRunCoords;
    const int64_t coords = shape.band_ends[band] * kRunCoords - first;
    const int64_t query_bytes = coded_query_bytes(shape);
    const auto lanes = [&](int64_t i) {
        return static_cast<__mmask16>(coords - i >= kLanes ? 0xffff : 0xff);
    };
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = weights + r * stride;
        std::byte* query = prepared + r * query_bytes;
        VecF largest = {};
        VecF nothing = {};  // 0, or NaN where a weight is no number
        for (int64_t i = 0; i < coords; i += kLanes) {
            const VecF w = _mm512_maskz_loadu_ps(lanes(i), row + i);
            largest = larger(_mm512_maskz_max_ps(kAllLanes, w, -w), largest);
            nothing += w * 0.0f;
        }
        constexpr float kLargest = 127;
        constexpr float kLeast = 1e-30f;  // whose inverse is a number
        const float top = horizontal_max(largest);
        const float inverse = top > kLeast ? kLargest / top : 0;
        VecF sum = {};  // exact
        for (int64_t i = 0; i < coords; i += kLanes) {
            const VecF w = _mm512_maskz_loadu_ps(lanes(i), row + i);
            const __m512i whole = _mm512_maskz_cvtps_epi32(kAllLanes, w * inverse);
            _mm512_mask_cvtepi32_storeu_epi8(query + first + i, lanes(i), whole);
            sum += _mm512_maskz_cvtepi32_ps(kAllLanes, whole);
        }
        const QueryBand of = {.scale = top / kLargest + horizontal_sum(nothing),
                              .bias = bias == nullptr ? 0 : bias[r],
                              .offset = -128 * static_cast<int32_t>(horizontal_sum(sum)),
                              .unused = 0};
        store_as(query + weight_bytes(shape) + band * static_cast<int64_t>(sizeof(QueryBand)), of);
    }
}

// ---- scores ----

// From one row's weights to the next's: a constant, so that one register addresses all of them, and
// no power of two, so that they share no lines of the L1 cache.
constexpr int64_t kWeightsSize = kPartCoords + 64;

/// Some runs of a band, of some tiles.
struct ScorePart {
    const CodedShape& shape;
    const std::byte* prepared;
    int64_t query_bytes;
    int64_t band;
    int64_t run;
    int64_t runs;
    bool starts_band;
    bool starts_tile;
    bool ends_tile;
    const uint8_t* levels;  // [tiles, runs, 128]
    const __m512* scales;   // [tiles]
    float* out;
    int64_t out_stride;

    /// T tiles from `tile` on. `weights`: of R rows, kWeightsSize apart.
    template <int R, int T>
    void score(const std::byte* weights, int64_t row, int64_t tile) const {
        const std::byte* queries = prepared + row * query_bytes;
        VecI sums[R][T];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
            for (int k = 0; k < T; ++k) sums[r][k] = VecI{};
        }
        const uint8_t* from = levels + tile * kLevelsSize;
        for (int64_t i = 0; i < runs; ++i) {
#pragma GCC unroll 2
            for (int half = 0; half < 2; ++half) {
                __m512i keys[T];
#pragma GCC unroll 4
                for (int k = 0; k < T; ++k)
                    keys[k] = load_bytes(from + k * kLevelsSize + half * kHalfRun);
#pragma GCC unroll 8
                for (int r = 0; r < R; ++r) {
                    const __m512i four =
                        _mm512_set1_epi32(load_as<int32_t>(weights + r * kWeightsSize + half * 4));
#pragma GCC unroll 4
                    for (int k = 0; k < T; ++k) add_products(sums[r][k], keys[k], four);
                }
            }
            from += kRunCodes;
            weights += kRunCoords;
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const std::byte* query = queries + r * query_bytes;
            const QueryBand of = query_band(query, shape, band);
            const int32_t offset = starts_band ? of.offset : 0;
            float bias = 0;
            for (int64_t b = 0; ends_tile && b < shape.bands; ++b)
                bias += query_band(query, shape, b).bias;
#pragma GCC unroll 4
            for (int k = 0; k < T; ++k) {
                float* to = out + (row + r) * out_stride + (tile + k) * kTileTokens;
                // Fused in so many words, lest rows of one pass be fused and of another not.
                const VecF before = starts_tile ? VecF{} : load(to);
                VecF total = _mm512_fmadd_ps(__builtin_convertvector(sums[r][k] + offset, VecF),
                                             broadcast(of.scale), before);
                if (ends_tile) total = _mm512_fmadd_ps(total, scales[tile + k], broadcast(bias));
                store(to, total);
            }
        }
    }

    void run_rows(int64_t rows, int64_t count) const {
        auto block = [&]<int R>(int64_t row) {
            alignas(64) std::byte weights[R * kWeightsSize];
            for (int64_t r = 0; r < R; ++r) {
                const std::byte* from = prepared + (row + r) * query_bytes + run * kRunCoords;
                for (int64_t i = 0; i < runs; i += 8) {
                    const auto lanes =
                        static_cast<__mmask8>(runs - i >= 8 ? 0xff : (1 << (runs - i)) - 1);
                    _mm512_storeu_si512(weights + r * kWeightsSize + i * kRunCoords,
                                        _mm512_maskz_loadu_epi64(lanes, from + i * kRunCoords));
                }
            }
            constexpr int kTogether = R <= 4 ? 4 : 2;
            int64_t tile = 0;
            for (; tile + kTogether <= count; tile += kTogether)
                score<R, kTogether>(weights, row, tile);
            for (; tile < count; ++tile) score<R, 1>(weights, row, tile);
        };
        for_row_blocks<kCodedRows>(0, rows, block);
    }
};

void score_coded(const CodedShape& shape, const std::byte* prepared, int64_t rows, Tiles tiles,
                 float* out, int64_t out_stride) noexcept {
    const int64_t tile_bytes = shape.tile_bytes();
    ReadAhead read_ahead(tiles.soon, tiles.data, tiles.count * tile_bytes);
    alignas(64) uint8_t levels[kLevelTiles * kLevelsSize];
    for (int64_t tile = 0; tile < tiles.count; tile += kLevelTiles) {
        const int64_t count = tiles.count - tile < kLevelTiles ? tiles.count - tile : kLevelTiles;
        const uint8_t* data = static_cast<const uint8_t*>(tiles.data) + tile * tile_bytes;
        __m512 scales[kLevelTiles];
        for (int64_t k = 0; k < count; ++k)
            scales[k] = token_scales_of(shape.scaled, data + (k + 1) * tile_bytes - kScaleBytes);
        int64_t run = 0;
        for (int64_t band = 0; band < shape.bands; ++band) {
            const int64_t start = run;
            while (run < shape.band_ends[band]) {
                const int64_t left = shape.band_ends[band] - run;
                const int64_t runs = left < kPartRuns ? left : kPartRuns;
                EqualRuns equal = {.first = 0,
                                   .runs = 0,
                                   .from = data,
                                   .tile_bytes = tile_bytes,
                                   .tiles = count,
                                   .levels = levels};
                for_equal_runs(shape.widths + run, runs, equal, read_ahead,
                               [&]<int kWidth>() { spread_keys<kWidth>(equal); });
                data = equal.from;
                const ScorePart part = {.shape = shape,
                                        .prepared = prepared,
                                        .query_bytes = coded_query_bytes(shape),
                                        .band = band,
                                        .run = run,
                                        .runs = runs,
                                        .starts_band = run == start,
                                        .starts_tile = run == 0,
                                        .ends_tile = run + runs == shape.runs,
                                        .levels = levels,
                                        .scales = scales,
                                        .out = out + tile * kTileTokens,
                                        .out_stride = out_stride};
                part.run_rows(rows, count);
                run += runs;
            }
        }
    }
}

// ---- sums ----

/// Weights p · scale of R rows for some tiles in 8 bits, and what their unit is worth.
struct RoundedWeights {
    alignas(64) uint8_t p[kCodedRows][kLevelTiles * kTileTokens];
    float unit[kCodedRows];

    void round(const float* from, int row, const __m512* scales, int64_t count) {
        constexpr float kLargest = 255;
        constexpr float kLeast = 1e-30f;  // whose inverse is a number
        VecF weights[kLevelTiles];
        VecF largest = {};
        __mmask16 no_numbers = 0;
        for (int64_t k = 0; k < count; ++k) {
            weights[k] = load(from + k * kTileTokens) * scales[k];
            largest = larger(weights[k], largest);
            no_numbers |= _mm512_cmp_ps_mask(weights[k], weights[k], _CMP_UNORD_Q);
        }
        const float top = horizontal_max(largest);
        const float inverse = top > kLeast ? kLargest / top : 0;
        for (int64_t k = 0; k < count; ++k) {
            const __m512i whole = _mm512_maskz_cvtps_epi32(kAllLanes, weights[k] * inverse);
            _mm512_mask_cvtusepi32_storeu_epi8(p[row] + k * kTileTokens, kAllLanes, whole);
        }
        unit[row] = no_numbers != 0 ? __builtin_nanf("") : top / kLargest;
    }
};

/// Adds to R rows' sums the products of some tiles and C pairs of runs (the last may be half of
/// one).
template <int R, int C>
inline void sum_pairs(const RoundedWeights& weights, const uint8_t* levels, int64_t count,
                      __mmask16 last_lanes, float* acc, int64_t acc_stride) {
    VecI sums[R][C];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) sums[r][c] = VecI{};
    }
    for (int64_t k = 0; k < count; ++k) {
#pragma GCC unroll 4
        for (int step = 0; step < 4; ++step) {
            __m512i values[C];
#pragma GCC unroll 4
            for (int c = 0; c < C; ++c)
                values[c] = load_bytes(levels + k * kLevelsSize + (c * 4 + step) * 64);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                const __m512i four =
                    _mm512_set1_epi32(load_as<int32_t>(weights.p[r] + k * kTileTokens + 4 * step));
#pragma GCC unroll 4
                for (int c = 0; c < C; ++c) add_products(sums[r][c], four, values[c]);
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) {
            float* to = acc + r * acc_stride + c * kLanes;
            const __mmask16 lanes = c == C - 1 ? last_lanes : kAllLanes;
            const VecF total =
                _mm512_fmadd_ps(__builtin_convertvector(sums[r][c], VecF),
                                broadcast(weights.unit[r]), _mm512_maskz_loadu_ps(lanes, to));
            _mm512_mask_storeu_ps(to, lanes, total);
        }
    }
}

void sum_coded(const CodedShape& shape, const float* p, int64_t p_stride, int64_t rows, Tiles tiles,
               float* acc, int64_t acc_stride) noexcept {
    const int64_t tile_bytes = shape.tile_bytes();
    ReadAhead read_ahead(tiles.soon, tiles.data, tiles.count * tile_bytes);
    alignas(64) uint8_t levels[kLevelTiles * kLevelsSize];
    for (int64_t tile = 0; tile < tiles.count; tile += kLevelTiles) {
        const int64_t count = tiles.count - tile < kLevelTiles ? tiles.count - tile : kLevelTiles;
        const uint8_t* data = static_cast<const uint8_t*>(tiles.data) + tile * tile_bytes;
        __m512 scales[kLevelTiles];
        for (int64_t k = 0; k < count; ++k)
            scales[k] = token_scales_of(shape.scaled, data + (k + 1) * tile_bytes - kScaleBytes);
        for (int64_t run = 0; run < shape.runs; run += kPartRuns) {
            const int64_t runs = shape.runs - run < kPartRuns ? shape.runs - run : kPartRuns;
            const int64_t pairs = (runs + 1) / 2;
            EqualRuns equal = {.first = 0,
                               .runs = 0,
                               .from = data,
                               .tile_bytes = tile_bytes,
                               .tiles = count,
                               .levels = levels};
            for_equal_runs(shape.widths + run, runs, equal, read_ahead,
                           [&]<int kWidth>() { spread_values<kWidth>(equal); });
            data = equal.from;
            if (runs % 2 != 0) {
                // What stands beside a last run without another is added to nothing.
                EqualRuns beside = equal;
                beside.first = runs;
                beside.runs = 1;
                beside.from -= kTileTokens;
                spread_values<1>(beside);
            }
            auto block = [&]<int R>(int64_t row) {
                RoundedWeights weights;
                for (int r = 0; r < R; ++r)
                    weights.round(p + (row + r) * p_stride + tile * kTileTokens, r, scales, count);
                constexpr int kTogether = R <= 4 ? 4 : 2;
                float* to = acc + row * acc_stride + run * kRunCoords;
                const auto sum = [&]<int C>(int64_t pair) {
                    const bool half = pair + C == pairs && runs % 2 != 0;
                    sum_pairs<R, C>(weights, levels + pair * 2 * kRunCodes, count,
                                    half ? 0xff : kAllLanes, to + pair * kLanes, acc_stride);
                };
                int64_t pair = 0;
                for (; pair + kTogether <= pairs; pair += kTogether)
                    sum.template operator()<kTogether>(pair);
                for (; pair < pairs; ++pair) sum.template operator()<1>(pair);
            };
            for_row_blocks<kCodedRows>(0, rows, block);
        }
    }
}
