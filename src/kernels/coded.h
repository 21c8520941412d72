#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lowkey {

/// Coded coordinates: a coordinate of a token is a code of 1 to 8 bits that names one of its
/// width's levels, small whole numbers. Coordinates come in runs of 8 that share a width, tokens in
/// tiles of 16. A token may have a scale that all its coordinates share.
///
/// A run takes 16 · width bytes of a tile: a section for each of the fields that its codes consist
/// of, most bits first. Widths and the bits of their fields, the lowest bits of a code first:
///   8 = 4 + 4, 7 = 4 + 2 + 1, 6 = 4 + 2, 5 = 4 + 1, 4, 3 = 2 + 1, 2, 1
/// The 128 codes of a run stand in two registers of 64 bytes, 0 and 1. Coordinate c of token t:
///   keys     register c / 4, byte 4 · t + c % 4: 32 bits hold 4 coordinates of a token
///   values   register t / 8, byte 32 · (t / 4 % 2) + 4 · c + t % 4: 4 tokens of a coordinate
/// and a section holds of their fields
///   4 bits   64 bytes: byte k of register r in bits 4 · r of byte k
///   2 bits   32 bytes: byte k of register r in bits 4 · r + 2 · (k / 32) of byte k % 32
///   1 bit    16 bytes: byte k of register r in bit 4 · r + k / 16 of byte k % 16
/// so that a shift and a mask spread a section over a register.

inline constexpr int kRunCoords = 8;   // coordinates of a run
inline constexpr int kMaxWidth = 8;    // bits
inline constexpr int kScaleBytes = 8;  // of a tile whose tokens have scales
inline constexpr int kNumScales = 16;

/// The constants of the format as kernels read them.
struct CodedTables {
    alignas(64) int8_t levels[kMaxWidth][1 << kMaxWidth];  // [width - 1][code]
    alignas(64) float scales[kNumScales];                  // [nibble]: 2^((nibble - 6) / 4)
};
extern const CodedTables kCodedTables;

/// Levels of a width's codes [2^width], ascending, in whole numbers from -128 to 127, constants of
/// the format. Widths 1 to 5: the Lloyd-Max quantizer of a Gaussian, rounded; of up to 4 bits the
/// levels next to 0 are 12 apart, of 5 bits the largest is 127. So coordinates that are equally
/// fine, as water-filling makes them, have like steps, and a query like weights for them. Above,
/// even ones: 2 · code - 63 (6 bits), 2 · code - 127 (7), code - 128 (8).
std::span<const int8_t> coded_levels(int width);
/// Standard deviation, in units of the levels, of the Gaussian that a width's levels suit best.
float coded_sigma(int width);
/// Code of the level next to x (in units of the levels), of two the lower; NaN has code 0.
uint8_t coded_nearest(int width, float x);

/// Scale of a token: 2^((nibble - 6) / 4), nibble from 0 to 15.
float coded_scale(int nibble);
/// Nibble of the scale next to x by ratio; 0 for NaN and what is not positive.
int coded_nearest_scale(float x);

/// What all tiles of a head's coded keys or values have in common. Holds no memory.
struct CodedShape {
    const uint8_t* widths = nullptr;  // [runs], each 1 to kMaxWidth
    int64_t runs = 0;
    /// [bands], ascending, the last is `runs`: runs of a band share the scale of a query's weights.
    const int64_t* band_ends = nullptr;
    int64_t bands = 1;
    bool scaled = false;  // every token has a scale

    [[nodiscard]] int64_t coords() const { return runs * kRunCoords; }
    /// Σ 16 · width, and if scaled 8 at the end: the nibble of token t in byte t / 2, in its low
    /// half for even t.
    [[nodiscard]] int64_t tile_bytes() const;
};

/// Nearest codes [coords] of a token's coordinates z [coords], in units of the levels.
void encode_coords(const CodedShape& shape, const float* z, uint8_t* codes);
/// Levels z [coords] of codes [coords].
void decode_coords(const CodedShape& shape, const uint8_t* codes, float* z);

/// Writes the codes [coords] and, if tokens have scales, the scale's nibble of one token into slot
/// t of a tile. Other slots stay as they are.
void write_coded_key(const CodedShape& shape, const uint8_t* codes, int scale, std::byte* tile,
                     int t);
void write_coded_value(const CodedShape& shape, const uint8_t* codes, int scale, std::byte* tile,
                       int t);
/// Reads them [coords]; returns the scale's nibble, that of 1 if tokens have none.
int read_coded_key(const CodedShape& shape, const std::byte* tile, int t, uint8_t* codes);
int read_coded_value(const CodedShape& shape, const std::byte* tile, int t, uint8_t* codes);

}  // namespace lowkey
