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

/// Lets all heads take the next tokens of a text, one after another.
void feed(SequenceCache& cache, const std::vector<float>& x, int64_t dim, int64_t end) {
    for (int64_t t = cache.num_tokens(); t < end; ++t) {
        for (int64_t h = 0; h < cache.layout().num_kv_heads(); ++h) {
            HeadCache& head = cache.head(0, h);
            const float* row = x.data() + t * dim;
            head.reserve(1);
            head.append({row, row, dim, row, dim, 1});
            head.settle(t, 1);
            head.forget(t + 1);
        }
        cache.set_num_tokens(t + 1);
    }
}

TEST(SequenceCache, CutBackItIsWhatItWas) {
    constexpr int64_t kDim = 64;
    CachePlan plan = CachePlan::dense(1, 3);
    plan.layers[0][1].exact_sinks = 4;
    plan.layers[0][1].value = test::low_rank(kDim, 20, 1);
    plan.layers[0][2].policy = {
        "window", {{"window", int64_t{200}}, {"sinks", int64_t{2}}, {"compensation", true}}};
    const auto layout =
        std::make_shared<const CacheLayout>(plan, test::shape(3, kDim, DType::kBF16));
    PagePool pool(int64_t{100} * kPageBytes);
    const auto x = random_floats(600 * kDim, 3);
    const auto y = random_floats(600 * kDim, 4);
    SequenceCache cache(layout, pool);
    feed(cache, x, kDim, 190);
    ASSERT_TRUE(cache.truncate(77));
    EXPECT_EQ(cache.num_tokens(), 77);
    EXPECT_EQ(pool.allocated_bytes(), layout->bytes_for(77));
    // What others share stays theirs.
    const auto fork = cache.fork();
    feed(cache, y, kDim, 150);
    SequenceCache other(layout, pool);
    feed(other, x, kDim, 77);
    feed(other, y, kDim, 150);
    feed(*fork, x, kDim, 190);
    std::vector<float> key(kDim), value(kDim), want_key(kDim), want_value(kDim);
    for (int64_t h = 0; h < 3; ++h) {
        ASSERT_EQ(cache.head(0, h).positions(), other.head(0, h).positions());
        for (const int64_t t : other.head(0, h).positions()) {
            cache.head(0, h).read(t, key.data(), value.data());
            other.head(0, h).read(t, want_key.data(), want_value.data());
            ASSERT_EQ(key, want_key);
            ASSERT_EQ(value, want_value);
        }
        fork->head(0, h).read(100, key.data(), value.data());
        EXPECT_EQ(key[5], h == 1 ? key[5] : to_f32(to_bf16(x[100 * kDim + 5])));
    }
    // A head that has forgotten something does not come back.
    feed(cache, y, kDim, 400);
    EXPECT_FALSE(cache.truncate(390));
    EXPECT_EQ(cache.num_tokens(), 400);
}

TEST(SequenceCache, AdmittedTogetherTheyFitTogether) {
    const auto layout = std::make_shared<const CacheLayout>(CachePlan::dense(1, 2),
                                                            test::shape(2, 64, DType::kBF16));
    PagePool pool(7 * kPageBytes);  // of 128 tokens of one head
    SequenceCache first(layout, pool);
    SequenceCache second(layout, pool);
    const Growth growth{.num_tokens = 256};
    {
        const Reservation room = first.reserve(growth);
        EXPECT_TRUE(first.has_room({.num_tokens = 200}));
        EXPECT_FALSE(first.has_room({.num_tokens = 300}));
        try {
            static_cast<void>(second.reserve(growth));
            FAIL() << "both were admitted against the same pages";
        } catch (const BudgetError& error) {
            EXPECT_EQ(error.needed_bytes, 4 * kPageBytes);
            EXPECT_EQ(error.free_bytes, 3 * kPageBytes);
        }
        // Nobody without room of his own gets in between.
        const Reservation small = second.reserve({.num_tokens = 128});
        second.head(0, 0).reserve(128);
        second.head(0, 1).reserve(128);
        EXPECT_THROW(second.head(0, 0).reserve(400), BudgetError);
        first.head(0, 0).reserve(256);
        first.head(0, 1).reserve(256);
        // A reservation that lives grows where it does not suffice.
        EXPECT_THROW(static_cast<void>(first.reserve({.num_tokens = 400})), BudgetError);
    }
    EXPECT_EQ(pool.allocated_bytes(), 7 * kPageBytes);
}

TEST(SequenceCache, AForkPaysForWhatItSharesWithAnAdmittedOne) {
    const auto layout = std::make_shared<const CacheLayout>(CachePlan::dense(1, 1),
                                                            test::shape(1, 64, DType::kBF16));
    PagePool pool(3 * kPageBytes);
    SequenceCache cache(layout, pool);
    const auto x = random_floats(300 * 64, 3);
    const Reservation room = cache.reserve({.num_tokens = 256});
    feed(cache, x, 64, 100);
    const auto fork = cache.fork();
    EXPECT_EQ(pool.free_pages(), 0);
    feed(cache, x, 64, 256);  // finishes what was admitted
    EXPECT_THROW(feed(*fork, x, 64, 300), BudgetError);
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
