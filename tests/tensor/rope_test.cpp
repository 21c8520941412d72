#include "tensor/rope.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace lowkey {
namespace {

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
