#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/machine_limits.h"

namespace lowkey::limits::amx_bf16 {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileColumns = 16;  // f32
constexpr int kTileDepth = 32;    // bf16
constexpr int kTileBytes = 1024;
constexpr int kTiles = 8;

/// Operand of LDTILECFG. Source: Intel's Software Developer's Manual, volume 1, section 18.
struct alignas(64) TileConfig {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};

/// Four sums of two left and two right tiles, as a matrix product has them.
float bf16_dot(int64_t rounds) noexcept {
    TileConfig config;
    for (int i = 0; i < kTiles; ++i) {
        config.row_bytes[i] = kTileBytes / kTileRows;
        config.rows[i] = kTileRows;
    }
    alignas(64) uint16_t ones[kTileBytes / 2];
    for (uint16_t& x : ones) x = 0x3f80;  // 1.0
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, ones, 64);
    _tile_loadd(5, ones, 64);
    _tile_loadd(6, ones, 64);
    _tile_loadd(7, ones, 64);
    for (int64_t r = 0; r < rounds; ++r) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    alignas(64) float sum[kTileBytes / 4];
    _tile_stored(3, sum, 64);
    _tile_release();
    return sum[0];
}

}  // namespace

extern const LimitLoops kLoops;
const LimitLoops kLoops = {"amx_bf16", nullptr,
                           nullptr,    0,
                           bf16_dot,   int64_t{4} * 2 * kTileRows* kTileColumns* kTileDepth};

}  // namespace lowkey::limits::amx_bf16
