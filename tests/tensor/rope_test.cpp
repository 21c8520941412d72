#include "tensor/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <thread>
#include <vector>

namespace lowkey {
namespace {

RopeConfig dynamic() {
    RopeConfig config;
    config.rotary_dim = 8;
    config.scaling = RopeConfig::Scaling::kDynamic;
    config.factor = 2;
    config.original_max_position_embeddings = 100;
    return config;
}

RopeConfig longrope() {
    RopeConfig config;
    config.rotary_dim = 4;
    config.scaling = RopeConfig::Scaling::kLongRope;
    config.original_max_position_embeddings = 100;
    config.short_factors = {1, 2};
    config.long_factors = {4, 8};
    return config;
}

TEST(Rope, DynamicBaseGrowsBeyondTheOriginalContext) {
    RopeConfig plain = dynamic();
    plain.scaling = RopeConfig::Scaling::kNone;
    EXPECT_EQ(rope_frequencies(dynamic(), 100), rope_frequencies(plain));
    EXPECT_EQ(rope_frequencies(dynamic(), 1), rope_frequencies(plain));
    // Twice the length with factor 2: the base grows by (2 · 2 - 1)^(8 / 6).
    plain.theta *= std::pow(3.0, 8.0 / 6);
    const auto grown = rope_frequencies(dynamic(), 200);
    const auto want = rope_frequencies(plain);
    for (size_t j = 0; j < want.size(); ++j) EXPECT_NEAR(grown[j], want[j], 1e-15) << j;
}

TEST(Rope, LongRopeDividesByTheListOfItsLength) {
    EXPECT_EQ(rope_frequencies(longrope(), 100), std::vector<double>({1, 0.01 / 2}));
    EXPECT_EQ(rope_frequencies(longrope(), 101), std::vector<double>({1.0 / 4, 0.01 / 8}));
}

TEST(RotaryTable, AnglesFollowTheLengthOfTheSequence) {
    for (const RopeConfig& config : {dynamic(), longrope()}) {
        const RotaryTable table(config, 300);
        EXPECT_TRUE(table.depends_on_length());
        EXPECT_FALSE(RotaryTable(config, 100).depends_on_length());
        std::vector<float> scratch;
        const RotaryAngles within = table.angles(50, 90, scratch);
        EXPECT_EQ(within.cos, table.cos(50));
        const double frequency = rope_frequencies(config, 250)[1];
        const RotaryAngles beyond = table.angles(50, 250, scratch);
        EXPECT_FLOAT_EQ(beyond.cos[1], static_cast<float>(std::cos(50 * frequency)));
        EXPECT_FLOAT_EQ(beyond.sin[1], static_cast<float>(std::sin(50 * frequency)));
        EXPECT_NE(beyond.cos[1], table.cos(50)[1]);
    }
}

TEST(RotaryTable, OnlyPositionsThatComeCostAnything) {
    RopeConfig config;
    config.rotary_dim = 8;
    const RotaryTable table(config, int64_t{1} << 24);
    EXPECT_EQ(table.positions_made(), 0);
    const std::vector<double> frequencies = rope_frequencies(config);
    for (const int64_t pos : {int64_t{0}, int64_t{255}, int64_t{256}, (int64_t{1} << 24) - 1}) {
        for (size_t j = 0; j < frequencies.size(); ++j) {
            const double angle = static_cast<double>(pos) * frequencies[j];
            EXPECT_EQ(table.cos(pos)[j], static_cast<float>(std::cos(angle))) << pos;
            EXPECT_EQ(table.sin(pos)[j], static_cast<float>(std::sin(angle))) << pos;
        }
    }
    EXPECT_LE(table.positions_made(), 3 * 1024);
    const float* before = table.cos(7);
    EXPECT_EQ(table.cos(7), before) << "what was given stays where it is";
    EXPECT_EQ(RotaryTable(config, 20).positions_made(), 0);
}

TEST(RotaryTable, ThreadsThatComeAtOnceGetTheSameAngles) {
    RopeConfig config;
    config.rotary_dim = 64;
    const int64_t positions = 4000;
    const RotaryTable table(config, positions);
    std::vector<std::vector<float>> got(4);
    std::vector<std::thread> threads;
    for (auto& own : got) {
        threads.emplace_back([&] {
            for (int64_t p = 0; p < positions; ++p) {
                own.push_back(table.cos(p)[1]);
                own.push_back(table.sin(p)[31]);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& own : got) EXPECT_EQ(own, got.front());
    EXPECT_EQ(table.positions_made(), positions);
}

TEST(RotaryTable, RotatingBackIsTheTranspose) {
    RopeConfig config;
    config.rotary_dim = 6;
    config.attention_factor = 1.5;
    for (const auto pairs : {RopeConfig::Pairs::kHalves, RopeConfig::Pairs::kInterleaved}) {
        config.pairs = pairs;
        const RotaryTable table(config, 20);
        const std::vector<float> x = {1, -2, 3, 0.5, 2, -1, 4, 3};  // the last two do not rotate
        const std::vector<float> y = {0, 1, -1, 2, 3, -2, 1, 1};
        std::vector<float> rotated = x;
        std::vector<float> back = y;
        table.rotate(rotated.data(), 13);
        table.rotate_back(back.data(), 13);
        EXPECT_NEAR(std::inner_product(rotated.begin(), rotated.end(), y.begin(), 0.0),
                    std::inner_product(x.begin(), x.end(), back.begin(), 0.0), 1e-4);
        EXPECT_NE(rotated, x);
    }
}

}  // namespace
}  // namespace lowkey
