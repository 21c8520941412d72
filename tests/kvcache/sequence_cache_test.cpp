#include "kvcache/sequence_cache.h"

#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "tests/kvcache/helpers.h"

namespace lowkey {
namespace {

using test::random_floats;

CachePlan mixed_plan(int64_t dim) {
    CachePlan plan = CachePlan::dense(1, 4);
    plan.layers[0][1].key = test::low_rank(dim, 5, 1, "before_rotation");
    plan.layers[0][1].exact_sinks = 4;
    plan.layers[0][2].value = test::low_rank(dim, 9, 2);
    plan.layers[0][2].exact_sinks = 17;
    plan.layers[0][3].key = test::low_rank(dim, 3, 3);
    plan.layers[0][3].value = test::low_rank(dim, 3, 4);
    return plan;
}

TEST(SequenceCache, AnySequenceOfAppendsReadsBackAndLeaksNoPage) {
    constexpr int64_t kDim = 32;
    const auto layout = std::make_shared<const CacheLayout>(
        mixed_plan(kDim), test::shape(4, kDim, DType::kF32, test::rotary(kDim)));
    PagePool pool(int64_t{64} << 20);
    std::mt19937 rng(11);
    for (int trial = 0; trial < 5; ++trial) {
        SequenceCache cache(layout, pool);
        const int64_t total = 700;
        const auto before = random_floats(total * kDim, 20);
        const auto after = random_floats(total * kDim, 21);
        const auto values = random_floats(total * kDim, 22);
        for (int64_t head = 0; head < 4; ++head) {
            HeadCache& own = cache.head(0, head);
            int64_t done = 0;
            while (done < total) {
                const int64_t n =
                    std::min<int64_t>(total - done, 1 + static_cast<int64_t>(rng() % 90));
                own.reserve(n);
                own.append({before.data() + done * kDim, after.data() + done * kDim, kDim,
                            values.data() + done * kDim, kDim, n});
                done += n;
            }
            EXPECT_EQ(own.num_tokens(), total);
            // Every token is in exactly one page run, in order.
            int64_t next = 0;
            std::vector<PageView> pages;
            for (int64_t s = 0; s < own.num_segments(); ++s) {
                own.segment_pages(s, pages);
                for (const PageView& page : pages) {
                    EXPECT_EQ(page.first_position, next);
                    next += page.num_tokens;
                }
            }
            EXPECT_EQ(next, total);
            // Dense sinks come back as they were, whatever the body's codec.
            std::vector<float> key(kDim), value(kDim);
            for (int64_t t = 0; t < own.layout().num_sinks; ++t) {
                own.read(t, key.data(), value.data());
                EXPECT_EQ(key[3], after[static_cast<size_t>(t * kDim + 3)]);
                EXPECT_EQ(value[3], values[static_cast<size_t>(t * kDim + 3)]);
            }
        }
        EXPECT_EQ(pool.allocated_bytes(), layout->bytes_for(total));
        const auto row = static_cast<size_t>(555 * kDim);
        std::vector<float> key(kDim), value(kDim);
        cache.head(0, 0).read(555, key.data(), value.data());
        EXPECT_EQ(key[0], after[row]);
        EXPECT_EQ(value[31], values[row + 31]);
    }
    EXPECT_EQ(pool.allocated_bytes(), 0);
}

TEST(SequenceCache, PositionsStartWhereTheSequenceDoes) {
    const auto layout = std::make_shared<const CacheLayout>(CachePlan::dense(1, 1),
                                                            test::shape(1, 16, DType::kF32));
    PagePool pool(4 * kPageBytes);
    SequenceCache cache(layout, pool, 100);
    const auto x = random_floats(2 * 16, 1);
    cache.head(0, 0).reserve(2);
    cache.head(0, 0).append({x.data(), x.data(), 16, x.data(), 16, 2});
    std::vector<PageView> pages;
    cache.head(0, 0).segment_pages(0, pages);
    ASSERT_EQ(pages.size(), 1);
    EXPECT_EQ(pages[0].first_position, 100);
    EXPECT_EQ(pages[0].num_tokens, 2);
}

TEST(SequenceCache, PagesOfAPromptThatIsKeptWholeAreNeighbours) {
    CachePlan plan = CachePlan::dense(1, 3);
    plan.layers[0][2].policy = {"window", {{"window", int64_t{128}}}};
    const auto layout = std::make_shared<const CacheLayout>(plan, test::shape(3, 64, DType::kBF16));
    PagePool pool(int64_t{64} * kPageBytes);
    SequenceCache cache(layout, pool);
    const int64_t total = 1024;
    const int64_t chunk = 256;
    const auto x = random_floats(chunk * 64, 3);
    for (int64_t first = 0; first < total; first += chunk) {
        for (int64_t h = 0; h < 3; ++h) {
            HeadCache& head = cache.head(0, h);
            head.begin_prompt(total);
            head.reserve(chunk);
            head.append({x.data(), x.data(), 64, x.data(), 64, chunk});
            head.forget(first + chunk);
        }
    }
    std::vector<PageView> pages;
    for (int64_t h = 0; h < 2; ++h) {
        cache.head(0, h).segment_pages(0, pages);
        for (size_t i = 1; i < pages.size(); ++i)
            EXPECT_EQ(pages[i].keys, pages[i - 1].keys + kPageBytes);
    }
    // A window's pages come and go.
    EXPECT_LT(cache.head(0, 2).num_pages(), cache.head(0, 0).num_pages());
    EXPECT_EQ(pool.allocated_bytes(), layout->bytes_for(total));
}

TEST(SequenceCache, AFullPoolIsABudgetError) {
    const auto layout = std::make_shared<const CacheLayout>(CachePlan::dense(1, 2),
                                                            test::shape(2, 64, DType::kBF16));
    PagePool pool(3 * kPageBytes);
    SequenceCache cache(layout, pool);
    EXPECT_EQ(cache.bytes_to_grow(128), 2 * kPageBytes);
    cache.head(0, 0).reserve(256);
    EXPECT_THROW(cache.head(0, 1).reserve(256), BudgetError);
    EXPECT_EQ(pool.free_pages(), 0);
}

}  // namespace
}  // namespace lowkey
