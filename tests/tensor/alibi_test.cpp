#include "tensor/alibi.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lowkey {
namespace {

// arXiv 2108.12409, section 3: for 8 heads the slopes are 1/2, 1/4, …, 1/256.
TEST(Alibi, PowersOfTwoAreAGeometricSequence) {
    const auto slopes = alibi_slopes(8);
    ASSERT_EQ(slopes.size(), 8);
    for (size_t i = 0; i < 8; ++i) EXPECT_EQ(slopes[i], std::ldexp(1.0f, -static_cast<int>(i) - 1));
    EXPECT_EQ(alibi_slopes(1), std::vector<float>({1.0f / 256}));
    EXPECT_FLOAT_EQ(alibi_slopes(16)[0], std::exp2(-0.5f));
}

TEST(Alibi, OtherCountsTakeEverySecondOfTheNextPower) {
    // 6 heads: the 4 of four heads, then the first and third of eight.
    EXPECT_EQ(alibi_slopes(6),
              std::vector<float>({1.0f / 4, 1.0f / 16, 1.0f / 64, 1.0f / 256, 1.0f / 2, 1.0f / 8}));
    EXPECT_EQ(alibi_slopes(3), std::vector<float>({1.0f / 16, 1.0f / 256, 1.0f / 4}));
    EXPECT_EQ(alibi_slopes(40).size(), 40);
    EXPECT_FLOAT_EQ(alibi_slopes(40)[32], std::exp2(-8.0f / 64));
}

TEST(Alibi, BiasMaxStretchesTheExponents) {
    EXPECT_EQ(alibi_slopes(4, 4), std::vector<float>({1.0f / 2, 1.0f / 4, 1.0f / 8, 1.0f / 16}));
}

}  // namespace
}  // namespace lowkey
