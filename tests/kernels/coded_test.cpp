#include "kernels/coded.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/kernels.h"

namespace lowkey {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
const std::vector<uint8_t> kAllWidths = {1, 2, 3, 4, 5, 6, 7, 8};

CodedShape shape_of(const std::vector<uint8_t>& widths, bool scaled) {
    return {.widths = widths.data(), .runs = std::ssize(widths), .scaled = scaled};
}

TEST(CodedLevels, AscendFromOneEndToTheOther) {
    for (int width = 1; width <= kMaxWidth; ++width) {
        const auto levels = coded_levels(width);
        ASSERT_EQ(levels.size(), size_t{1} << width);
        for (size_t i = 0; i + 1 < levels.size(); ++i) EXPECT_LT(levels[i], levels[i + 1]);
        if (width == 8) continue;
        for (size_t i = 0; i < levels.size(); ++i)
            EXPECT_EQ(levels[i], -levels[levels.size() - 1 - i]);
    }
    EXPECT_EQ(coded_levels(5).back(), 127);
    EXPECT_EQ(coded_levels(6).front(), -63);
    EXPECT_EQ(coded_levels(7).front(), -127);
    EXPECT_EQ(coded_levels(8).front(), -128);
}

/// Mean squared error of a Gaussian's numbers, relative to its variance, by a sum over a fine grid.
double squared_error(int width, double sigma) {
    double error = 0, weight = 0;
    for (double z = -8; z < 8; z += 0.0005) {
        const double density = std::exp(-z * z / 2);
        const double level =
            coded_levels(width)[coded_nearest(width, static_cast<float>(z * sigma))];
        error += density * (z - level / sigma) * (z - level / sigma);
        weight += density;
    }
    return error / weight;
}

TEST(CodedLevels, SuitTheGaussianOfTheirSigma) {
    // The optima of Lloyd-Max quantizers; rounded levels err a little more.
    const double known[] = {0.36338, 0.11748, 0.034548, 0.0095008, 0.0025048};
    for (int width = 1; width <= kMaxWidth; ++width) {
        const double sigma = coded_sigma(width);
        const double error = squared_error(width, sigma);
        EXPECT_LT(error, 1.005 * squared_error(width, sigma * 0.97)) << width;
        EXPECT_LT(error, 1.005 * squared_error(width, sigma * 1.03)) << width;
        if (width > 5) continue;
        EXPECT_NEAR(error, known[width - 1], 0.015 * error) << width;
    }
}

TEST(CodedNearest, IsTheLowerOfTheNearestLevels) {
    for (int width = 1; width <= kMaxWidth; ++width) {
        const auto levels = coded_levels(width);
        for (size_t i = 0; i < levels.size(); ++i) {
            EXPECT_EQ(coded_nearest(width, levels[i]), i);
            if (i + 1 == levels.size()) break;
            const float between = 0.5f * static_cast<float>(levels[i] + levels[i + 1]);
            EXPECT_EQ(coded_nearest(width, between), i) << width;
            EXPECT_EQ(coded_nearest(width, std::nextafter(between, kInf)), i + 1) << width;
            EXPECT_EQ(coded_nearest(width, std::nextafter(between, -kInf)), i) << width;
        }
        for (const float x : {-1e30f, -kInf, kNan}) EXPECT_EQ(coded_nearest(width, x), 0);
        for (const float x : {1e30f, kInf}) EXPECT_EQ(coded_nearest(width, x), levels.size() - 1);
    }
}

TEST(CodedNearest, OfManyIsThatOfEach) {
    std::mt19937 rng(1);
    std::normal_distribution<float> normal(0, 70);
    const CodedShape shape = shape_of(kAllWidths, false);
    for (int round = 0; round < 100; ++round) {
        std::vector<float> z(static_cast<size_t>(shape.coords()));
        for (float& x : z) x = normal(rng);
        z[static_cast<size_t>(round) % z.size()] = kNan;
        std::vector<uint8_t> codes(z.size());
        encode_coords(shape, z.data(), codes.data());
        std::vector<float> decoded(z.size());
        decode_coords(shape, codes.data(), decoded.data());
        for (size_t i = 0; i < z.size(); ++i) {
            const int width = kAllWidths[i / kRunCoords];
            ASSERT_EQ(codes[i], coded_nearest(width, z[i]));
            ASSERT_EQ(decoded[i], coded_levels(width)[codes[i]]);
        }
    }
}

TEST(CodedScale, IsQuartersOfOctaves) {
    for (int nibble = 0; nibble < kNumScales; ++nibble) {
        EXPECT_NEAR(coded_scale(nibble), std::exp2((nibble - 6) / 4.0), 1e-7 * coded_scale(nibble));
        EXPECT_EQ(coded_nearest_scale(coded_scale(nibble)), nibble);
        EXPECT_EQ(coded_nearest_scale(coded_scale(nibble) * 1.089f), nibble);
        EXPECT_EQ(coded_nearest_scale(coded_scale(nibble) / 1.089f), nibble);
    }
    for (const float x : {0.0f, -1.0f, -kInf, kNan}) EXPECT_EQ(coded_nearest_scale(x), 0);
    EXPECT_EQ(coded_nearest_scale(kInf), kNumScales - 1);
}

TEST(CodedTile, TakesTheBytesOfItsWidths) {
    EXPECT_EQ(shape_of(kAllWidths, false).tile_bytes(), 16 * 36);
    EXPECT_EQ(shape_of(kAllWidths, true).tile_bytes(), 16 * 36 + 8);
    EXPECT_EQ(shape_of({}, true).tile_bytes(), 8);
}

/// Where coded.h says that a bit of a code stands: its byte and bit from the run's start.
std::pair<size_t, int> place(bool key, int width, int bit, int c, int t) {
    const int reg = key ? c / 4 : t / 8;
    const int k = key ? 4 * t + c % 4 : 32 * (t / 4 % 2) + 4 * c + t % 4;
    const int fours = width / 4;
    if (bit < 4 * fours) return {static_cast<size_t>(64 * (bit / 4) + k), 4 * reg + bit % 4};
    const int rest = width % 4;
    if (rest >= 2 && bit < 4 * fours + 2)
        return {static_cast<size_t>(64 * fours + k % 32), 4 * reg + 2 * (k / 32) + bit % 4};
    return {static_cast<size_t>(64 * fours + (rest >= 2 ? 32 : 0) + k % 16), 4 * reg + k / 16};
}

TEST(CodedTile, HoldsEveryBitWhereTheLayoutSays) {
    for (const bool key : {true, false}) {
        for (int width = 1; width <= kMaxWidth; ++width) {
            const std::vector<uint8_t> widths = {static_cast<uint8_t>(width)};
            const CodedShape shape = shape_of(widths, false);
            for (int t = 0; t < kTileTokens; ++t) {
                for (int c = 0; c < kRunCoords; ++c) {
                    for (int bit = 0; bit < width; ++bit) {
                        std::vector<uint8_t> codes(kRunCoords, 0);
                        codes[static_cast<size_t>(c)] = static_cast<uint8_t>(1 << bit);
                        std::vector<std::byte> tile(static_cast<size_t>(shape.tile_bytes()));
                        (key ? write_coded_key : write_coded_value)(shape, codes.data(), 6,
                                                                    tile.data(), t);
                        const auto [byte, at] = place(key, width, bit, c, t);
                        std::vector<std::byte> want(tile.size());
                        want[byte] = static_cast<std::byte>(1 << at);
                        ASSERT_EQ(tile, want) << width << " " << bit << " " << c << " " << t;
                    }
                }
            }
        }
    }
}

TEST(CodedTile, GivesBackWhatWasWrittenAndKeepsOtherSlots) {
    std::mt19937 rng(2);
    const std::vector<uint8_t> widths = {8, 7, 6, 5, 4, 3, 2, 1, 3, 3, 4};
    for (const bool scaled : {false, true}) {
        const CodedShape shape = shape_of(widths, scaled);
        const auto coords = static_cast<size_t>(shape.coords());
        for (const bool key : {true, false}) {
            std::vector<std::byte> tile(static_cast<size_t>(shape.tile_bytes()), std::byte{0xa5});
            std::vector<std::vector<uint8_t>> tokens(kTileTokens);
            std::vector<int> scales(kTileTokens);
            // Each slot is written twice, in some order.
            for (int i = 0; i < 2 * kTileTokens; ++i) {
                const int t = i * 7 % kTileTokens;
                auto& codes = tokens[static_cast<size_t>(t)];
                codes.resize(coords);
                for (size_t c = 0; c < coords; ++c)
                    codes[c] = static_cast<uint8_t>(rng() % (1u << widths[c / kRunCoords]));
                scales[static_cast<size_t>(t)] = scaled ? static_cast<int>(rng() % 16) : 6;
                (key ? write_coded_key : write_coded_value)(
                    shape, codes.data(), scales[static_cast<size_t>(t)], tile.data(), t);
            }
            for (int t = 0; t < kTileTokens; ++t) {
                std::vector<uint8_t> codes(coords);
                EXPECT_EQ(
                    (key ? read_coded_key : read_coded_value)(shape, tile.data(), t, codes.data()),
                    scales[static_cast<size_t>(t)]);
                EXPECT_EQ(codes, tokens[static_cast<size_t>(t)]);
            }
        }
    }
}

}  // namespace
}  // namespace lowkey
