// Coded tiles (coded.h): codes are spread over bytes, become levels, and are multiplied. Included
// by kernels.inl.

constexpr int kRunCodes = kRunCoords * kTileTokens;
constexpr int kHalfRun = kRunCodes / 2;
// Coordinates of which levels are held at a time: longer tokens come in parts.
constexpr int64_t kPartCoords = 256;
constexpr int64_t kPartRuns = kPartCoords / kRunCoords;

/// Bytes from the start of a tile to one of its runs.
inline int64_t run_offset(const CodedShape& shape, int64_t run) {
    int64_t bytes = 0;
    for (int64_t i = 0; i < run; ++i) bytes += shape.widths[i];
    return bytes * kTileTokens;
}

/// Scales [16] of a tile's tokens, 1 if they have none. `nibbles` stand at its end.
inline void token_scales(bool scaled, const uint8_t* nibbles, float* scales) {
    for (int t = 0; t < kTileTokens; ++t)
        scales[t] = scaled ? kCodedTables.scales[nibbles[t / 2] >> (4 * (t % 2)) & 0xf] : 1.0f;
}

#if defined(__AVX512VNNI__)
#include "kernels/coded_vnni.inl"
#else
#include "kernels/coded_f32.inl"
#endif
