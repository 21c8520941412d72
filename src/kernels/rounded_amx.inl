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

// A tile of sums that is mostly empty takes as long as a full one.
constexpr int64_t kRoundsFromRows = 12;
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

void score_rounded(const float* q, int64_t q_stride, int64_t rows, int64_t dim, const Tiles& tiles,
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

void sum_rounded(const float* p, int64_t p_stride, int64_t rows, int64_t dim, const Tiles& tiles,
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
