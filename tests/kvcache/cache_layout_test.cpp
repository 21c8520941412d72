#include "kvcache/cache_layout.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/kvcache/helpers.h"

namespace lowkey {
namespace {

TEST(CacheLayout, DensePagesHoldWhatTheFormulaSays) {
    const CacheLayout layout(CachePlan::dense(1, 3), test::shape(3, 64, DType::kBF16));
    // 64 + 64 coordinates of 2 bytes: 128 tokens per page of 32 KiB.
    EXPECT_EQ(layout.bytes_for(0), 0);
    EXPECT_EQ(layout.bytes_for(1), 3 * kPageBytes);
    EXPECT_EQ(layout.bytes_for(128), 3 * kPageBytes);
    EXPECT_EQ(layout.bytes_for(129), 6 * kPageBytes);
    EXPECT_EQ(layout.bytes_for(1024), layout.bytes_full(1024));
}

TEST(CacheLayout, HeadsDifferInTokensPerPage) {
    CachePlan plan = CachePlan::dense(1, 2);
    plan.layers[0][1].key = test::low_rank(64, 16, 1);
    plan.layers[0][1].value = test::low_rank(64, 16, 2);
    const CacheLayout layout(plan, test::shape(2, 64, DType::kBF16));
    EXPECT_EQ(layout.head(0, 0).pages_for(1024), 8);
    EXPECT_EQ(layout.head(0, 1).pages_for(1024), 2);
}

TEST(CacheLayout, SinksShareTheFirstPage) {
    CachePlan plan = CachePlan::dense(1, 1);
    plan.layers[0][0].key = test::low_rank(64, 32, 1);
    plan.layers[0][0].value = test::low_rank(64, 32, 2);
    plan.layers[0][0].exact_sinks = 4;
    const CacheLayout layout(plan, test::shape(1, 64, DType::kBF16));
    const HeadLayout& head = layout.head(0, 0);
    EXPECT_EQ(head.sink_tiles, 1);
    EXPECT_EQ(head.page_tiles, 16);
    EXPECT_EQ(head.first_page_tiles, 14);  // a dense tile takes the room of two
    EXPECT_EQ(head.pages_for(4), 1);
    EXPECT_EQ(head.pages_for(4 + 14 * 16), 1);
    EXPECT_EQ(head.pages_for(4 + 14 * 16 + 1), 2);
}

TEST(CacheLayout, RefusesPlansOfOtherModels) {
    EXPECT_THROW(CacheLayout(CachePlan::dense(2, 1), test::shape(1, 64, DType::kBF16)), UsageError);
    EXPECT_THROW(CacheLayout(CachePlan::dense(1, 2), test::shape(1, 64, DType::kBF16)), UsageError);
    CachePlan plan = CachePlan::dense(1, 1);
    plan.layers[0][0].policy.name = "magic";
    EXPECT_THROW(CacheLayout(plan, test::shape(1, 64, DType::kBF16)), UnsupportedError);
    plan = CachePlan::dense(1, 1);
    plan.layers[0][0].exact_sinks = -1;
    EXPECT_THROW(CacheLayout(plan, test::shape(1, 64, DType::kBF16)), UsageError);
    // 16 tokens of 2 · 1024 f32 coordinates do not fit a page.
    EXPECT_THROW(CacheLayout(CachePlan::dense(1, 1), test::shape(1, 1024, DType::kF32)),
                 UnsupportedError);
}

}  // namespace
}  // namespace lowkey
