#include "attention/soon_reads.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>

namespace lowkey {
namespace {

constexpr int64_t kTileBytes = 1024;

/// Pages of 4 tiles of keys, then as many of values.
class SoonReadsTest : public ::testing::Test {
protected:
    [[nodiscard]] PageView page(int64_t tiles) const {
        return {.keys = memory_.data(),
                .values = memory_.data() + 4 * kTileBytes,
                .key_bytes = tiles * kTileBytes,
                .value_bytes = tiles * kTileBytes,
                .num_tokens = tiles * kTileTokens};
    }

private:
    std::array<std::byte, 8 * kTileBytes> memory_{};
};

TEST_F(SoonReadsTest, AFullPageIsAskedForOnceAndInOrder) {
    for (const int64_t rows : {1, 7, 128}) {
        const SoonReads soon = share_out(page(4), page(4), rows);
        EXPECT_EQ(soon.scores.data, page(4).keys);
        EXPECT_EQ(soon.softmax.data, page(4).keys + soon.scores.bytes);
        EXPECT_EQ(soon.sums.data, page(4).keys + soon.scores.bytes + soon.softmax.bytes);
        EXPECT_EQ(soon.scores.bytes + soon.softmax.bytes + soon.sums.bytes, 8 * kTileBytes);
        // No step is asked for more than it works on, of which it would ask for a part only.
        EXPECT_LE(soon.scores.bytes, 4 * kTileBytes);
        EXPECT_LE(soon.softmax.bytes, rows * 4 * kTileTokens * int64_t{sizeof(float)});
        EXPECT_LE(soon.sums.bytes, 4 * kTileBytes);
        EXPECT_GT(soon.softmax.bytes, 0);
    }
}

TEST_F(SoonReadsTest, WhatLiesBetweenKeysAndValuesIsNotAskedFor) {
    const SoonReads soon = share_out(page(2), page(4), 7);
    EXPECT_EQ(soon.scores.data, page(2).keys);
    EXPECT_EQ(soon.scores.bytes, 2 * kTileBytes);
    EXPECT_EQ(soon.softmax.bytes, 0);
    EXPECT_EQ(soon.sums.data, page(2).values);
    EXPECT_EQ(soon.sums.bytes, 2 * kTileBytes);
}

}  // namespace
}  // namespace lowkey
