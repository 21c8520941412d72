#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "tensor/dtype.h"

namespace lowkey {

/// Tiles of floating-point coordinates in the layout of kernels.h: where a token's numbers go. Used
/// where coordinates are f32 or bf16.
struct FloatTiles {
    DType dtype = DType::kBF16;
    int64_t dim = 0;

    [[nodiscard]] int64_t tile_bytes() const;
    // `slot` counts tokens from the first of `tiles`. Writing slot 0 of a tile clears its other
    // slots first, so that unused ones hold zeros.
    void write_key(const float* key, std::byte* tiles, int64_t slot) const;
    void write_value(const float* value, std::byte* tiles, int64_t slot) const;
    void read_key(const std::byte* tiles, int64_t slot, float* key) const;
    void read_value(const std::byte* tiles, int64_t slot, float* value) const;

    // Copies a token's numbers as they are; other slots of the tile stay.
    void copy_key(const std::byte* from, int64_t from_slot, std::byte* to, int64_t to_slot) const;
    void copy_value(const std::byte* from, int64_t from_slot, std::byte* to, int64_t to_slot) const;

    /// kernels().score_* and sum_* for this dtype.
    void score(const float* q, int64_t q_stride, int64_t rows, Tiles tiles, float* out,
               int64_t out_stride) const;
    void sum(const float* p, int64_t p_stride, int64_t rows, Tiles tiles, float* acc) const;
};

}  // namespace lowkey
