#include "kernels/coded.h"

#include <array>

#include "kernels/kernels.h"

namespace lowkey {
namespace {

constexpr CodedTables make_tables() {
    CodedTables tables = {
        // Lloyd-Max levels of the unit Gaussian, rounded; of 1 to 4 bits in units in which the two
        // next to 0 are 12 apart.
        .levels = {{-6, 6},
                   {-20, -6, 6, 20},
                   {-52, -32, -18, -6, 6, 18, 32, 52},
                   {-127, -96, -75, -58, -44, -31, -18, -6, 6, 18, 31, 44, 58, 75, 96, 127},
                   {-127, -105, -90, -79, -70, -61, -54, -47, -41, -35, -29,
                    -24,  -18,  -13, -8,  -3,  3,   8,   13,  18,  24,  29,
                    35,   41,   47,  54,  61,  70,  79,  90,  105, 127}},
        .scales = {0.35355338f, 0.4204482f, 0.5f, 0.59460354f, 0.70710677f, 0.8408964f, 1.0f,
                   1.1892071f, 1.4142135f, 1.6817929f, 2.0f, 2.3784142f, 2.828427f, 3.3635857f,
                   4.0f, 4.7568283f},
    };
    for (int width = 6; width <= kMaxWidth; ++width) {
        const int codes = 1 << width;
        for (int code = 0; code < codes; ++code) {
            tables.levels[width - 1][code] =
                static_cast<int8_t>(width == 8 ? code - 128 : 2 * code + 1 - codes);
        }
    }
    return tables;
}

}  // namespace

constexpr CodedTables kCodedTables = make_tables();

namespace {

// Of 4 and 5 bits, 127 over the largest level of the unit Gaussian's quantizer; of others, where its
// squared error on these levels, relative to its variance, is least.
constexpr std::array<float, kMaxWidth> kSigmas = {7.5198849f,  13.2418687f, 24.0767891f,
                                                  46.4760612f, 38.9483039f, 19.2191239f,
                                                  35.1693673f, 32.5038566f};

// What lies halfway, by ratio, between a token's scale and the next.
constexpr std::array<float, kNumScales - 1> kScaleBounds = {
    0.3855527f,  0.45850202f, 0.5452539f, 0.6484198f, 0.7711054f,
    0.91700405f, 1.0905077f,  1.2968396f, 1.5422108f, 1.8340081f,
    2.1810155f,  2.5936792f,  3.0844216f, 3.6680162f, 4.362031f};
constexpr int kScaleOfOne = 6;

/// Codes of 8 numbers: how many of the bounds between levels lie below each. No branch and no table
/// look-up, so that it is compiled to vector instructions.
template <int kWidth>
void count_bounds(const float* x, uint8_t* codes) {
    constexpr auto& levels = kCodedTables.levels[kWidth - 1];
    std::array<int32_t, kRunCoords> count{};
    for (int i = 0; i + 1 < 1 << kWidth; ++i) {
        const float bound = 0.5f * static_cast<float>(levels[i] + levels[i + 1]);
        for (size_t c = 0; c < kRunCoords; ++c) count[c] += x[c] > bound ? 1 : 0;
    }
    for (size_t c = 0; c < kRunCoords; ++c) codes[c] = static_cast<uint8_t>(count[c]);
}

/// The same of even levels: how many of the bounds step · n + over, n whole, lie below.
void round_even(float step, float over, int32_t code_of_zero, int32_t last, const float* x,
                uint8_t* codes) {
    for (size_t c = 0; c < kRunCoords; ++c) {
        constexpr float kFar = 1000;  // outside all levels, so that the number is a small whole one
        const float above = x[c] > -kFar ? x[c] : -kFar;
        const float within = above < kFar ? above : kFar;
        const auto whole = static_cast<int32_t>(within / step);  // towards 0
        const float rest = within - static_cast<float>(whole) * step;
        const int32_t code =
            whole + code_of_zero + (rest > over ? 1 : 0) - (rest <= over - step ? 1 : 0);
        const int32_t not_below = code > 0 ? code : 0;
        codes[c] = static_cast<uint8_t>(not_below < last ? not_below : last);
    }
}

void encode_run(int width, const float* x, uint8_t* codes) {
    switch (width) {
        case 1:
            return count_bounds<1>(x, codes);
        case 2:
            return count_bounds<2>(x, codes);
        case 3:
            return count_bounds<3>(x, codes);
        case 4:
            return count_bounds<4>(x, codes);
        case 5:
            return count_bounds<5>(x, codes);
        case 6:
            return round_even(2, 0, 31, 63, x, codes);
        case 7:
            return round_even(2, 0, 63, 127, x, codes);
        default:
            return round_even(1, 0.5f, 128, 255, x, codes);
    }
}

// ---- codes in tiles ----

enum class Order { kKey, kValue };

/// Calls fn(bits, shift within a code, first byte) for each field of a width's codes.
template <typename Fn>
void for_fields(int width, Fn fn) {
    int shift = 0;
    std::ptrdiff_t byte = 0;
    for (int bits = 4; bits > 0; bits /= 2) {
        while (width - shift >= bits) {
            fn(bits, shift, byte);
            shift += bits;
            byte += std::ptrdiff_t{kTileTokens} * bits;
        }
    }
}

/// Where a section of fields of so many bits holds coordinate c of token t.
struct FieldAt {
    std::ptrdiff_t byte;
    int shift;

    FieldAt(Order order, int bits, int c, int t) {
        const int reg = order == Order::kKey ? c / 4 : t / 8;
        const int k = order == Order::kKey ? 4 * t + c % 4 : 32 * (t / 4 % 2) + 4 * c + t % 4;
        const int bytes = kTileTokens * bits;
        byte = k % bytes;
        shift = 4 * reg + k / bytes * bits;
    }
};

template <Order kOrder>
void write_token(const CodedShape& shape, const uint8_t* codes, int scale, std::byte* tile, int t) {
    for (int64_t run = 0; run < shape.runs; ++run) {
        const int width = shape.widths[run];
        for_fields(width, [&](int bits, int shift, std::ptrdiff_t first) {
            const unsigned mask = (1u << bits) - 1;
            for (int c = 0; c < kRunCoords; ++c) {
                const FieldAt at(kOrder, bits, c, t);
                std::byte& to = tile[first + at.byte];
                const unsigned field = (static_cast<unsigned>(codes[c]) >> shift) & mask;
                to = static_cast<std::byte>((static_cast<unsigned>(to) & ~(mask << at.shift)) |
                                            field << at.shift);
            }
        });
        codes += kRunCoords;
        tile += std::ptrdiff_t{kTileTokens} * width;
    }
    if (!shape.scaled) return;
    std::byte& to = tile[t / 2];
    const int shift = 4 * (t % 2);
    to = static_cast<std::byte>((static_cast<unsigned>(to) & ~(0xfu << shift)) |
                                (static_cast<unsigned>(scale) & 0xfu) << shift);
}

template <Order kOrder>
int read_token(const CodedShape& shape, const std::byte* tile, int t, uint8_t* codes) {
    for (int64_t run = 0; run < shape.runs; ++run) {
        const int width = shape.widths[run];
        for (int c = 0; c < kRunCoords; ++c) codes[c] = 0;
        for_fields(width, [&](int bits, int shift, std::ptrdiff_t first) {
            const unsigned mask = (1u << bits) - 1;
            for (int c = 0; c < kRunCoords; ++c) {
                const FieldAt at(kOrder, bits, c, t);
                const unsigned field =
                    (static_cast<unsigned>(tile[first + at.byte]) >> at.shift) & mask;
                codes[c] = static_cast<uint8_t>(codes[c] | field << shift);
            }
        });
        codes += kRunCoords;
        tile += std::ptrdiff_t{kTileTokens} * width;
    }
    if (!shape.scaled) return kScaleOfOne;
    return static_cast<int>((static_cast<unsigned>(tile[t / 2]) >> (4 * (t % 2))) & 0xfu);
}

}  // namespace

std::span<const int8_t> coded_levels(int width) {
    return std::span(kCodedTables.levels[width - 1]).first(size_t{1} << width);
}

float coded_sigma(int width) { return kSigmas[static_cast<size_t>(width - 1)]; }

uint8_t coded_nearest(int width, float x) {
    std::array<float, kRunCoords> all{};
    all[0] = x;
    std::array<uint8_t, kRunCoords> codes{};
    encode_run(width, all.data(), codes.data());
    return codes[0];
}

float coded_scale(int nibble) { return kCodedTables.scales[nibble]; }

int coded_nearest_scale(float x) {
    int nibble = 0;
    for (const float bound : kScaleBounds) nibble += x > bound ? 1 : 0;
    return nibble;
}

int64_t CodedShape::tile_bytes() const {
    int64_t bytes = scaled ? kScaleBytes : 0;
    for (int64_t run = 0; run < runs; ++run) bytes += int64_t{kTileTokens} * widths[run];
    return bytes;
}

void encode_coords(const CodedShape& shape, const float* z, uint8_t* codes) {
    for (int64_t run = 0; run < shape.runs; ++run)
        encode_run(shape.widths[run], z + run * kRunCoords, codes + run * kRunCoords);
}

void decode_coords(const CodedShape& shape, const uint8_t* codes, float* z) {
    for (int64_t i = 0; i < shape.coords(); ++i)
        z[i] = coded_levels(shape.widths[i / kRunCoords])[codes[i]];
}

void write_coded_key(const CodedShape& shape, const uint8_t* codes, int scale, std::byte* tile,
                     int t) {
    write_token<Order::kKey>(shape, codes, scale, tile, t);
}
void write_coded_value(const CodedShape& shape, const uint8_t* codes, int scale, std::byte* tile,
                       int t) {
    write_token<Order::kValue>(shape, codes, scale, tile, t);
}
int read_coded_key(const CodedShape& shape, const std::byte* tile, int t, uint8_t* codes) {
    return read_token<Order::kKey>(shape, tile, t, codes);
}
int read_coded_value(const CodedShape& shape, const std::byte* tile, int t, uint8_t* codes) {
    return read_token<Order::kValue>(shape, tile, t, codes);
}

}  // namespace lowkey
