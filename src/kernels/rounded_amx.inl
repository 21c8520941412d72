// Products of bf16 numbers in AMX tiles: 16 × 16 sums of 32 products at a time. The cache's tiles
// are what the instruction wants as its second operand: a line holds pairs of 16 tokens'
// coordinates (keys) or of 16 coordinates of two tokens (values). Included by kernels.inl.

struct alignas(64) TileConfig {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

/// Tile registers 0 to 3 hold sums (row tile · 2 + column tile), 4 and 5 rows, 6 and 7 columns, for
/// the object's life.
class TileRegisters {
public:
    TileRegisters() {
        const TileConfig config;
        _tile_loadconfig(&config);
    }
    ~TileRegisters() { _tile_release(); }
    TileRegisters(const TileRegisters&) = delete;
    TileRegisters& operator=(const TileRegisters&) = delete;
};

constexpr int64_t kRoundsFromRows = 1;
constexpr int64_t kTileRows = 16;    // of sums
constexpr int64_t kTileDepth = 32;   // products per sum
constexpr int64_t kBlockRows = 32;   // rows of one pass: two tiles
constexpr int64_t kSumTokens = 256;  // whose weights are rounded at a time
/// 16 pairs.
using Line = uint32_t[16];

/// 16 lines for a tile register.
struct TileLines {
    const void* data;
    int64_t line_bytes;  // from one line to the next
};

/// The intrinsics want register numbers as literals.
inline void store_sums(int tile, float* to, int64_t line_bytes) {
    switch (tile) {
        case 0:
            _tile_stored(0, to, line_bytes);
            return;
        case 1:
            _tile_stored(1, to, line_bytes);
            return;
        case 2:
            _tile_stored(2, to, line_bytes);
            return;
        default:
            _tile_stored(3, to, line_bytes);
    }
}

/// The sums of A row tiles and B column tiles over `depth` blocks of 32 products. rows: bf16, rows
/// `row_bytes` apart. column(b, k) loads block k of column tile b.
template <int A, int B, typename Columns>
inline void multiply_tiles(const uint16_t* rows, int64_t row_bytes, int64_t depth,
                           Columns columns) {
    _tile_zero(0);
    if constexpr (B > 1) _tile_zero(1);
    if constexpr (A > 1) _tile_zero(2);
    if constexpr (A > 1 && B > 1) _tile_zero(3);
    for (int64_t k = 0; k < depth; ++k) {
        const uint16_t* at = rows + k * kTileDepth;
        _tile_loadd(4, at, row_bytes);
        const TileLines left = columns.lines(0, k);
        _tile_loadd(6, left.data, left.line_bytes);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (B > 1) {
            const TileLines right = columns.lines(1, k);
            _tile_loadd(7, right.data, right.line_bytes);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (A > 1) {
            _tile_loadd(5, at + kTileRows * row_bytes / 2, row_bytes);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (B > 1) _tile_dpbf16ps(3, 5, 7);
        }
    }
}

/// Calls fn.template operator()<A, B>() with the tiles that cover so many rows and columns.
template <typename Fn>
inline void with_tiles(int64_t rows, int64_t cols, Fn fn) {
    if (rows > kTileRows) {
        if (cols > kTileRows) {
            fn.template operator()<2, 2>();
        } else {
            fn.template operator()<2, 1>();
        }
    } else if (cols > kTileRows) {
        fn.template operator()<1, 2>();
    } else {
        fn.template operator()<1, 1>();
    }
}

/// A tile's sums to the rows of out that there are.
inline void store_rows(int tile, float* out, int64_t stride, int64_t rows) {
    if (rows >= kTileRows) {
        store_sums(tile, out, stride * 4);
        return;
    }
    alignas(64) float sums[kTileRows * kTileRows];
    store_sums(tile, sums, 64);
    for (int64_t r = 0; r < rows; ++r)
        __builtin_memcpy(out + r * stride, sums + r * kTileRows, kTileRows * sizeof(float));
}

/// Coordinates of one or two key tiles.
struct KeyColumns {
    const uint16_t* tile;
    int64_t dim;
    // The last block's pairs where it is not full, zeros behind them: the tile's end may be the
    // memory's.
    Line (*rest)[kTileRows];

    TileLines lines(int64_t b, int64_t k) const {
        const uint16_t* from = tile + (b * dim + k * kTileDepth) * kTileTokens;
        if ((k + 1) * kTileDepth <= dim) return {from, sizeof(Line)};
        const int64_t coords = dim - k * kTileDepth;
        Line* copy = rest[b];
        __builtin_memcpy(copy, from, static_cast<size_t>(coords / 2) * sizeof(Line));
        if (coords % 2 != 0) {
            for (int64_t t = 0; t < kTileTokens; ++t)
                copy[coords / 2][t] = from[(coords - 1) * kTileTokens + t];
        }
        return {copy, sizeof(Line)};
    }
};

void score_many(const float* q, int64_t q_stride, int64_t rows, int64_t dim, const Tiles& tiles,
                float* out, int64_t out_stride) {
    const auto* data = static_cast<const uint16_t*>(tiles.data);
    const int64_t depth = (dim + kTileDepth - 1) / kTileDepth;
    const int64_t row_size = depth * kTileDepth;
    alignas(64) uint16_t rounded[kBlockRows * kMaxRoundedDim];
    alignas(64) Line rest[2][kTileRows] = {};
    const TileRegisters registers;
    for (int64_t row = 0; row < rows; row += kBlockRows) {
        const int64_t count = rows - row < kBlockRows ? rows - row : kBlockRows;
        for (int64_t r = 0; r < count; ++r)
            round_row(q + (row + r) * q_stride, dim, rounded + r * row_size, row_size);
        for (int64_t t = 0; t < tiles.count; t += 2) {
            const int64_t slots = (tiles.count - t) * kTileTokens;
            float* to = out + row * out_stride + t * kTileTokens;
            with_tiles(count, slots, [&]<int A, int B>() {
                multiply_tiles<A, B>(rounded, row_size * 2, depth,
                                     KeyColumns{data + t * dim * kTileTokens, dim, rest});
                for (int a = 0; a < A; ++a) {
                    for (int b = 0; b < B; ++b) {
                        store_rows(2 * a + b, to + a * kTileRows * out_stride + b * kTileTokens,
                                   out_stride, count - a * kTileRows);
                    }
                }
            });
        }
    }
}

/// 16 or 32 coordinates of token pairs.
struct ValueColumns {
    const uint32_t* pairs;  // of the first column
    int64_t dim;
    int64_t steps;    // pairs there are
    int64_t columns;  // there are from the first on
    Line (*rest)[kTileRows];

    TileLines lines(int64_t b, int64_t k) const {
        const int64_t step = k * kTileRows;
        const int64_t column = b * kTileRows;
        const uint32_t* from = pairs + step * dim + column;
        const int64_t count = steps - step < kTileRows ? steps - step : kTileRows;
        const int64_t width = columns - column < kTileRows ? columns - column : kTileRows;
        if (count == kTileRows && width == kTileRows) return {from, dim * 4};
        // What lies behind the last column or pair is other memory.
        for (int64_t s = 0; s < kTileRows; ++s) {
            for (int64_t c = 0; c < kTileRows; ++c)
                rest[b][s][c] = s < count && c < width ? from[s * dim + c] : 0;
        }
        return {rest[b], sizeof(Line)};
    }
};

void sum_many(const float* p, int64_t p_stride, int64_t rows, int64_t dim, const Tiles& tiles,
              float* acc, int64_t acc_stride) {
    const auto* pairs = static_cast<const uint32_t*>(tiles.data);
    const int64_t tokens = tiles.count * kTileTokens;
    alignas(64) uint16_t rounded[kBlockRows * kSumTokens];
    alignas(64) Line rest[2][kTileRows];
    alignas(64) float sums[4][kTileRows * kTileRows];
    const TileRegisters registers;
    for (int64_t row = 0; row < rows; row += kBlockRows) {
        const int64_t count = rows - row < kBlockRows ? rows - row : kBlockRows;
        for (int64_t first = 0; first < tokens; first += kSumTokens) {
            const int64_t n = tokens - first < kSumTokens ? tokens - first : kSumTokens;
            const int64_t depth = (n + kTileDepth - 1) / kTileDepth;
            const int64_t row_size = depth * kTileDepth;
            for (int64_t r = 0; r < count; ++r)
                round_row(p + (row + r) * p_stride + first, n, rounded + r * row_size, row_size);
            for (int64_t column = 0; column < dim; column += 2 * kTileRows) {
                const int64_t width = dim - column;
                const ValueColumns values{pairs + first / 2 * dim + column, dim, n / 2, width,
                                          rest};
                with_tiles(count, width, [&]<int A, int B>() {
                    multiply_tiles<A, B>(rounded, row_size * 2, depth, values);
                    for (int a = 0; a < A; ++a) {
                        for (int b = 0; b < B; ++b) store_sums(2 * a + b, sums[2 * a + b], 64);
                    }
                });
                for (int64_t r = 0; r < count; ++r) {
                    float* to = acc + (row + r) * acc_stride + column;
                    for (int64_t c = 0; c < width && c < 2 * kTileRows; c += kTileRows) {
                        const float* from =
                            sums[r / kTileRows * 2 + c / kTileRows] + r % kTileRows * kTileRows;
                        const int64_t lanes = width - c < kTileRows ? width - c : kTileRows;
                        for (int64_t i = 0; i < lanes; ++i) to[c + i] += from[i];
                    }
                }
            }
        }
    }
}

// ---- few rows: decoding ----

constexpr int64_t kFewRows = kTileRows;
constexpr int64_t kFewTokens = 512;  // whose weights are rounded at a time

/// The sizes of tile registers for few rows. A product takes as many cycles as its first operand
/// has rows, so registers of few rows are fast; registers of other sizes take the ends of what is
/// no multiple of a tile. To set sizes takes longer than to multiply a page's tiles: both kernels
/// share all that they do not set themselves, and leave it to the next call, which then finds it.
///   0, 1  sums             4  rows                     6  columns
///   3     sums (last       5  rows (last pairs         7  columns (last pairs of coordinates)
///         columns)            of coordinates)          2  columns (last columns)
class FewRegisters {
public:
    explicit FewRegisters(int64_t rows) {
        _tile_storeconfig(&config_);
        if (config_.palette == 0) {  // somebody released them
            config_ = TileConfig();
            changed_ = true;
        }
        set(0, rows, kLineBytes);
        set(1, rows, kLineBytes);
    }
    void set(int tile, int64_t rows, int64_t bytes) {
        changed_ = changed_ || config_.rows[tile] != rows || config_.row_bytes[tile] != bytes;
        config_.rows[tile] = static_cast<uint8_t>(rows);
        config_.row_bytes[tile] = static_cast<uint16_t>(bytes);
    }
    void load() const {
        if (changed_) _tile_loadconfig(&config_);
    }

private:
    static constexpr int64_t kLineBytes = 64;
    TileConfig config_;
    bool changed_ = false;
};

/// Scores of up to kFewRows rows of 2 coordinates or more.
void score_few(const float* q, int64_t q_stride, int64_t rows, int64_t dim, const Tiles& tiles,
               float* out, int64_t out_stride) {
    const int64_t full = (dim / 2 - 1) / kTileRows;  // blocks of 16 pairs before the last one
    const int64_t rest = dim / 2 - full * kTileRows;
    const int64_t row_size = (full + 1) * kTileDepth;
    alignas(64) uint16_t rounded[kFewRows * kMaxRoundedDim];
    for (int64_t r = 0; r < rows; ++r)
        round_row(q + r * q_stride, dim, rounded + r * row_size, row_size);

    FewRegisters registers(rows);
    registers.set(4, rows, 64);
    registers.set(5, rows, rest * 4);
    registers.set(6, kTileRows, 64);
    registers.set(7, rest, 64);
    registers.load();
    _tile_loadd(4, rounded, row_size * 2);
    _tile_loadd(5, rounded + full * kTileDepth, row_size * 2);
    ReadAhead ahead(tiles.soon, tiles.data, tiles.count * dim * kTileTokens * 2);
    const auto* data = static_cast<const uint16_t*>(tiles.data);
    // Two tiles at a time, whose sums do not wait for each other.
    for (int64_t t = 0; t < tiles.count; t += 2) {
        const bool second = t + 1 < tiles.count;
        const uint16_t* left = data + t * dim * kTileTokens;
        const uint16_t* right = left + (second ? dim * kTileTokens : 0);
        _tile_zero(0);
        _tile_zero(1);
        for (int64_t k = 0; k < full; ++k) {
            const int64_t at = k * kTileDepth;
            if (full > 1) _tile_loadd(4, rounded + at, row_size * 2);
            _tile_loadd(6, left + at * kTileTokens, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(6, right + at * kTileTokens, 64);
            _tile_dpbf16ps(1, 4, 6);
            ahead(2 * kTileRows * 64);
        }
        const int64_t at = full * kTileDepth;
        _tile_loadd(7, left + at * kTileTokens, 64);
        _tile_dpbf16ps(0, 5, 7);
        _tile_loadd(7, right + at * kTileTokens, 64);
        _tile_dpbf16ps(1, 5, 7);
        ahead((2 * rest + dim % 2) * 64);
        float* to = out + t * kTileTokens;
        _tile_stored(0, to, out_stride * 4);
        if (second) _tile_stored(1, to + kTileTokens, out_stride * 4);
    }
    if (dim % 2 == 0) return;
    for (int64_t r = 0; r < rows; ++r) {
        uint16_t last = 0;
        round_row(q + r * q_stride + dim - 1, 1, &last, 1);
        const VecF factor = broadcast_bf16(last);
        for (int64_t t = 0; t < tiles.count; ++t) {
            float* to = out + r * out_stride + t * kTileTokens;
            store(to, load(to) + factor * load_bf16(data + (t * dim + dim - 1) * kTileTokens));
        }
    }
}

/// The sums of up to kFewRows rows over pairs of tokens whose values follow each other.
struct FewSums {
    const uint16_t* p;  // rounded weights, rows kFewTokens apart
    int64_t rows;
    const uint32_t* pairs;
    int64_t blocks;  // of 16 pairs
    int64_t dim;
    float* acc;
    int64_t acc_stride;

    /// F tiles of 16 columns from `column` on, and behind them the last columns, if kLast.
    template <int F, bool kLast>
    void pass(int64_t column, ReadAhead& ahead) const {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(3);
        for (int64_t k = 0; k < blocks; ++k) {
            const uint32_t* at = pairs + k * kTileRows * dim + column;
            _tile_loadd(4, p + k * kTileDepth, kFewTokens * 2);
            if constexpr (F > 0) {
                _tile_loadd(6, at, dim * 4);
                _tile_dpbf16ps(0, 4, 6);
                ahead(kTileRows * 64);
            }
            if constexpr (F > 1) {
                _tile_loadd(6, at + kTileRows, dim * 4);
                _tile_dpbf16ps(1, 4, 6);
                ahead(kTileRows * 64);
            }
            if constexpr (kLast) {
                _tile_loadd(2, at + F * kTileRows, dim * 4);
                _tile_dpbf16ps(3, 4, 2);
                ahead((dim - column - F * kTileRows) * 64);
            }
        }
        if constexpr (F > 0) add(0, column, kAllLanes);
        if constexpr (F > 1) add(1, column + kTileRows, kAllLanes);
        if constexpr (kLast)
            add(3, column + F * kTileRows, first_lanes(dim - column - F * kTileRows));
    }

    /// acc += the sums of a register.
    void add(int tile, int64_t column, __mmask16 lanes) const {
        alignas(64) float sums[kFewRows * kTileRows];
        store_sums(tile, sums, 64);
        for (int64_t r = 0; r < rows; ++r) {
            float* to = acc + r * acc_stride + column;
            const VecF sum = _mm512_maskz_loadu_ps(lanes, sums + r * kTileRows);
            _mm512_mask_storeu_ps(to, lanes, _mm512_maskz_loadu_ps(lanes, to) + sum);
        }
    }

    void run(ReadAhead& ahead) const {
        const int64_t width = dim - (dim - 1) / kTileRows * kTileRows;  // of the last columns
        FewRegisters registers(rows);
        registers.set(2, kTileRows, width * 4);
        registers.set(3, rows, width * 4);
        registers.set(4, rows, 64);
        registers.set(6, kTileRows, 64);
        registers.load();
        int64_t column = 0;
        for (; column + 2 * kTileRows < dim - width; column += 2 * kTileRows)
            pass<2, false>(column, ahead);
        switch ((dim - width - column) / kTileRows) {
            case 0:
                pass<0, true>(column, ahead);
                return;
            case 1:
                pass<1, true>(column, ahead);
                return;
            default:
                pass<2, true>(column, ahead);
        }
    }
};

void sum_few(const float* p, int64_t p_stride, int64_t rows, int64_t dim, const Tiles& tiles,
             float* acc, int64_t acc_stride) {
    const auto* pairs = static_cast<const uint32_t*>(tiles.data);
    const int64_t tokens = tiles.count * kTileTokens;
    alignas(64) uint16_t rounded[kFewRows * kFewTokens];
    ReadAhead ahead(tiles.soon, tiles.data, tiles.count * dim * kTileTokens * 2);
    for (int64_t first = 0; first < tokens; first += kFewTokens) {
        const int64_t n = tokens - first < kFewTokens ? tokens - first : kFewTokens;
        for (int64_t r = 0; r < rows; ++r)
            round_row(p + r * p_stride + first, n, rounded + r * kFewTokens, n);
        FewSums sums{rounded, rows, pairs + first / 2 * dim, n / kTileDepth, dim, acc, acc_stride};
        if (sums.blocks > 0) sums.run(ahead);
        if (n % kTileDepth == 0) continue;
        // One tile of tokens is left: half a block. Registers of its size would have to be set.
        const int64_t begin = sums.blocks * kTileDepth;
        const int64_t count = kTileTokens / 2 * dim;
        alignas(64) uint32_t block[kTileRows * kMaxRoundedDim];
        __builtin_memcpy(block, sums.pairs + begin / 2 * dim, static_cast<size_t>(count) * 4);
        __builtin_memset(block + count, 0, static_cast<size_t>(count) * 4);
        for (int64_t r = 0; r < rows; ++r)
            __builtin_memset(rounded + r * kFewTokens + n, 0, kTileTokens * 2);
        sums.p += begin;
        sums.pairs = block;
        sums.blocks = 1;
        sums.run(ahead);
    }
}

// ---- either ----

void score_rounded(const float* q, int64_t q_stride, int64_t rows, int64_t dim, const Tiles& tiles,
                   float* out, int64_t out_stride) {
    const auto score = rows <= kFewRows && dim >= 2 ? score_few : score_many;
    score(q, q_stride, rows, dim, tiles, out, out_stride);
}

void sum_rounded(const float* p, int64_t p_stride, int64_t rows, int64_t dim, const Tiles& tiles,
                 float* acc, int64_t acc_stride) {
    const auto sum = rows <= kFewRows ? sum_few : sum_many;
    sum(p, p_stride, rows, dim, tiles, acc, acc_stride);
}
