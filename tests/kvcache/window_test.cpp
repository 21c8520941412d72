// Heads that see a window: which tokens stay, and that the others' pages really go.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "kvcache/sequence_cache.h"
#include "tests/kvcache/helpers.h"

namespace lowkey {
namespace {

using test::random_floats;
using ::testing::HasSubstr;

constexpr int64_t kDim = 32;
constexpr int64_t kPageTokens = kPageBytes / (2 * kDim * 4);  // 128, in f32

TokenPolicySpec window_policy(int64_t window, int64_t sinks) {
    return {"window", {{"window", window}, {"sinks", sinks}}};
}

CacheShape windowed_shape(int64_t heads, int64_t window) {
    CacheShape shape = test::shape(heads, kDim, DType::kF32);
    for (CacheShape::Head& head : shape.layers[0]) head.sliding_window = window;
    return shape;
}

std::shared_ptr<const CacheLayout> policy_layout(int64_t window, int64_t sinks,
                                                 int64_t exact_sinks = 0, int64_t own = 0) {
    CachePlan plan = CachePlan::dense(1, 1);
    plan.layers[0][0].policy = window_policy(window, sinks);
    plan.layers[0][0].exact_sinks = exact_sinks;
    return std::make_shared<const CacheLayout>(plan, windowed_shape(1, own));
}

/// Appends `count` tokens whose every number is their position.
void append(HeadCache& head, int64_t count) {
    const int64_t first = head.num_tokens();
    std::vector<float> x(static_cast<size_t>(count * kDim));
    for (int64_t t = 0; t < count; ++t)
        std::fill_n(x.begin() + t * kDim, kDim, static_cast<float>(first + t));
    head.append({x.data(), x.data(), kDim, x.data(), kDim, count});
}

/// As a forward pass of `count` tokens that attend through the cache.
void step(HeadCache& head, int64_t count) {
    head.reserve(count);
    append(head, count);
    head.forget(head.num_tokens());
}

float key_at(const HeadCache& head, int64_t position) {
    std::vector<float> key(kDim), value(kDim);
    head.read(position, key.data(), value.data());
    EXPECT_EQ(key[0], value[kDim - 1]);
    return key[kDim - 1];
}

TEST(Window, SmallerOfModelAndPlanCounts) {
    const auto window_of = [](int64_t plan, int64_t model) {
        return policy_layout(plan, 4, 0, model)->head(0, 0);
    };
    EXPECT_EQ(window_of(100, 0).window(0), 100);
    EXPECT_EQ(window_of(100, 0).num_sinks, 4);
    EXPECT_EQ(window_of(100, 0).dims.sliding_window, 0);
    EXPECT_EQ(window_of(100, 300).window(0), 100);
    EXPECT_EQ(window_of(100, 300).dims.sliding_window, 300) << "the model does not look further";
    EXPECT_EQ(window_of(100, 60).window(0), 60);
    EXPECT_EQ(window_of(100, 60).num_sinks, 0) << "the head is the model's own";
    const CacheLayout all(CachePlan::dense(1, 1), windowed_shape(1, 60));
    EXPECT_EQ(all.head(0, 0).window(0), 60);
    EXPECT_EQ(policy_layout(100, 2, 5)->head(0, 0).num_sinks, 5) << "exact sinks are sinks";
}

TEST(Window, RefusesBadSettings) {
    const auto refusal = [](const Settings& settings) -> std::string {
        CachePlan plan = CachePlan::dense(1, 1);
        plan.layers[0][0].policy = {"window", settings};
        try {
            const CacheLayout layout(plan, windowed_shape(1, 0));
        } catch (const UsageError& e) {
            return e.what();
        }
        return "nothing was refused";
    };
    EXPECT_THAT(refusal({}), HasSubstr("no setting 'window'"));
    EXPECT_THAT(refusal({{"window", int64_t{0}}}), HasSubstr("'window'"));
    EXPECT_THAT(refusal({{"window", int64_t{-3}}}), HasSubstr("'window'"));
    EXPECT_THAT(refusal({{"window", std::string("big")}}), HasSubstr("not a whole number"));
    EXPECT_THAT(refusal({{"window", int64_t{8}}, {"sinks", int64_t{-1}}}), HasSubstr("'sinks'"));
    EXPECT_THAT(refusal({{"window", int64_t{8}}, {"sinks", int64_t{65}}}), HasSubstr("'sinks'"));
}

TEST(Window, PagesOfDecodingStayFewWhereverTheyEnd) {
    for (const int64_t window : {1, 2, 15, 16, 17, 128, 129, 300}) {
        for (const int64_t sinks : {0, 4, 17}) {
            SCOPED_TRACE(std::to_string(window) + " and " + std::to_string(sinks));
            const auto layout = policy_layout(window, sinks);
            PagePool pool(layout->peak_bytes(4000, 1));
            SequenceCache cache(layout, pool);
            HeadCache& head = cache.head(0, 0);
            for (int64_t t = 0; t < 1500; ++t) {
                step(head, 1);
                ASSERT_EQ(pool.allocated_bytes(), layout->bytes_for(t + 1)) << t;
                ASSERT_EQ(head.num_pages() * kPageBytes, pool.allocated_bytes());
            }
            EXPECT_LE(pool.peak_bytes(), layout->peak_bytes(1500, 1));
            // The window, a page that it has begun to leave, and one for the sinks.
            const int64_t pages =
                (window + kPageTokens - 1) / kPageTokens + 1 + (sinks > 0 ? 1 : 0);
            EXPECT_LE(pool.peak_bytes(), pages * kPageBytes);
            for (int64_t p = 1500 - window + 1; p < 1500; ++p) ASSERT_EQ(key_at(head, p), p);
            for (int64_t p = 0; p < sinks; ++p) ASSERT_EQ(key_at(head, p), p);
        }
    }
}

TEST(Window, PrefillInChunksHoldsTheWindowAndAChunk) {
    constexpr int64_t kChunk = 256;
    const auto layout = policy_layout(200, 4);
    PagePool pool(layout->peak_bytes(1 << 20, kChunk));
    EXPECT_LE(pool.num_pages(), (200 + kChunk) / kPageTokens + 3);
    SequenceCache cache(layout, pool);
    for (int chunk = 0; chunk < 20; ++chunk) step(cache.head(0, 0), kChunk);
    EXPECT_EQ(pool.allocated_bytes(), layout->bytes_for(20 * kChunk));
    EXPECT_EQ(cache.bytes_to_grow(0), 0);
    EXPECT_EQ(key_at(cache.head(0, 0), 20 * kChunk - 199), 20 * kChunk - 199);
}

TEST(Window, TokensThatNobodyWillSeeAreNeverWritten) {
    const auto layout = policy_layout(50, 20);
    PagePool pool(layout->peak_bytes(100000, 1));
    SequenceCache cache(layout, pool);
    HeadCache& head = cache.head(0, 0);
    // A prompt that attended to itself elsewhere: its queries are over when it is written.
    for (const int64_t count : {7, 30, 3000, 5, 1000}) {
        head.forget(head.num_tokens() + count);
        head.reserve(count);
        append(head, count);
        const int64_t n = head.num_tokens();
        EXPECT_EQ(pool.allocated_bytes(), layout->bytes_for(n)) << n;
        for (int64_t p = std::max<int64_t>(0, n - 49); p < n; ++p) ASSERT_EQ(key_at(head, p), p);
        for (int64_t p = 0; p < std::min<int64_t>(20, n); ++p) ASSERT_EQ(key_at(head, p), p);
    }
    EXPECT_LE(pool.peak_bytes(), 3 * kPageBytes);
}

TEST(Window, SinksGoWhenTheModelNoLongerLooksAtThem) {
    const auto layout = policy_layout(20, 4, 0, 100);
    PagePool pool(layout->peak_bytes(2000, 1));
    SequenceCache cache(layout, pool);
    HeadCache& head = cache.head(0, 0);
    std::vector<PageView> pages;
    for (int64_t t = 1; t <= 1000; ++t) {
        step(head, 1);
        head.segment_pages(0, pages);
        ASSERT_EQ(pages.empty(), t - 100 + 1 >= 4) << t;
        ASSERT_EQ(pool.allocated_bytes(), layout->bytes_for(t)) << t;
    }
    EXPECT_LE(head.num_pages(), 2);
}

TEST(WindowDeathTest, AForgottenPositionCannotBeRead) {
    const auto layout = policy_layout(20, 0);
    PagePool pool(layout->peak_bytes(2000, 1));
    SequenceCache cache(layout, pool);
    for (int64_t t = 0; t < 500; ++t) step(cache.head(0, 0), 1);
    EXPECT_EQ(key_at(cache.head(0, 0), 499 - 18), 499 - 18);
    EXPECT_DEATH(key_at(cache.head(0, 0), 499 - 20 - 16), "");
    EXPECT_DEATH(key_at(cache.head(0, 0), 0), "");
}

TEST(Window, BytesFullStaysTheWholeSequence) {
    const auto layout = policy_layout(20, 0);
    EXPECT_EQ(layout->bytes_full(5000), 2 * 1 * 1 * kDim * 5000 * 2);
    EXPECT_LT(layout->bytes_for(5000), layout->bytes_full(5000) / 5);
}

}  // namespace
}  // namespace lowkey
