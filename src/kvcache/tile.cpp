#include "kvcache/tile.h"

#include <algorithm>
#include <cstring>

#include "kernels/kernels.h"

namespace lowkey {
namespace {

/// Index of a key's coordinate among a tile's elements.
int64_t key_at(DType dtype, int64_t dim, int64_t i, int64_t t) {
    if (dtype == DType::kF32 || (i == dim - 1 && dim % 2 != 0)) return i * kTileTokens + t;
    return (i / 2) * 2 * kTileTokens + 2 * t + i % 2;
}

int64_t value_at(DType dtype, int64_t dim, int64_t i, int64_t t) {
    if (dtype == DType::kF32) return t * dim + i;
    return ((t / 2) * dim + i) * 2 + t % 2;
}

// Coordinates that are rounded to bf16 at a time.
constexpr int64_t kRoundedTogether = 256;

using At = int64_t (*)(DType, int64_t, int64_t, int64_t);

// Layout and dtype are constants of the loops over coordinates: they run for every token.
template <At at>
void write(const FloatTiles& tiles, const float* x, std::byte* data, int64_t slot) {
    const int64_t t = slot % kTileTokens;
    std::byte* tile = data + slot / kTileTokens * tiles.tile_bytes();
    if (t == 0) std::memset(tile, 0, static_cast<size_t>(tiles.tile_bytes()));
    if (tiles.dtype == DType::kF32) {
        auto* to = reinterpret_cast<float*>(tile);
        for (int64_t i = 0; i < tiles.dim; ++i) to[at(DType::kF32, tiles.dim, i, t)] = x[i];
    } else {
        auto* to = reinterpret_cast<uint16_t*>(tile);
        uint16_t rounded[kRoundedTogether];
        for (int64_t first = 0; first < tiles.dim; first += kRoundedTogether) {
            const int64_t n = std::min(kRoundedTogether, tiles.dim - first);
            kernels().to_bf16(x + first, rounded, n);
            for (int64_t i = 0; i < n; ++i)
                to[at(DType::kBF16, tiles.dim, first + i, t)] = rounded[i];
        }
    }
}

void read(const FloatTiles& tiles, At at, const std::byte* data, int64_t slot, float* x) {
    const int64_t t = slot % kTileTokens;
    const std::byte* tile = data + slot / kTileTokens * tiles.tile_bytes();
    for (int64_t i = 0; i < tiles.dim; ++i) {
        const int64_t from = at(tiles.dtype, tiles.dim, i, t);
        x[i] = tiles.dtype == DType::kF32 ? reinterpret_cast<const float*>(tile)[from]
                                          : to_f32(reinterpret_cast<const BF16*>(tile)[from]);
    }
}

void copy(const FloatTiles& tiles, At at, const std::byte* from, int64_t from_slot, std::byte* to,
          int64_t to_slot) {
    const int64_t size = dtype_bytes(tiles.dtype);
    const std::byte* source = from + from_slot / kTileTokens * tiles.tile_bytes();
    std::byte* target = to + to_slot / kTileTokens * tiles.tile_bytes();
    for (int64_t i = 0; i < tiles.dim; ++i) {
        std::memcpy(target + size * at(tiles.dtype, tiles.dim, i, to_slot % kTileTokens),
                    source + size * at(tiles.dtype, tiles.dim, i, from_slot % kTileTokens),
                    static_cast<size_t>(size));
    }
}

}  // namespace

int64_t FloatTiles::tile_bytes() const { return kTileTokens * dim * dtype_bytes(dtype); }

void FloatTiles::write_key(const float* key, std::byte* tiles, int64_t slot) const {
    write<key_at>(*this, key, tiles, slot);
}
void FloatTiles::write_value(const float* value, std::byte* tiles, int64_t slot) const {
    write<value_at>(*this, value, tiles, slot);
}
void FloatTiles::read_key(const std::byte* tiles, int64_t slot, float* key) const {
    read(*this, key_at, tiles, slot, key);
}
void FloatTiles::read_value(const std::byte* tiles, int64_t slot, float* value) const {
    read(*this, value_at, tiles, slot, value);
}

void FloatTiles::copy_key(const std::byte* from, int64_t from_slot, std::byte* to,
                          int64_t to_slot) const {
    copy(*this, key_at, from, from_slot, to, to_slot);
}
void FloatTiles::copy_value(const std::byte* from, int64_t from_slot, std::byte* to,
                            int64_t to_slot) const {
    copy(*this, value_at, from, from_slot, to, to_slot);
}

void FloatTiles::score(const float* q, int64_t q_stride, int64_t rows, Tiles tiles, float* out,
                       int64_t out_stride) const {
    const auto kernel = dtype == DType::kF32 ? kernels().score_f32 : kernels().score_bf16;
    kernel(q, q_stride, rows, dim, tiles, out, out_stride);
}

void FloatTiles::sum(const float* p, int64_t p_stride, int64_t rows, Tiles tiles,
                     float* acc) const {
    const auto kernel = dtype == DType::kF32 ? kernels().sum_f32 : kernels().sum_bf16;
    kernel(p, p_stride, rows, dim, tiles, acc, dim);
}

}  // namespace lowkey
