#include "eval/speed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "engine/generation.h"
#include "tests/eval/random_model.h"

namespace lowkey {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

using SpeedTest = RandomModel;

// Per layer: q, o 128 × 256, k, v 128 × 128, and three of 128 × 192; the head 128 × 100.
constexpr int64_t kLayerWeights = 2 * 128 * 256 + 2 * 128 * 128 + 3 * 128 * 192;
constexpr int64_t kHeadWeights = 128 * 100;

TEST_F(SpeedTest, RandomModelsOfASeedAreTheSameAndGenerate) {
    const auto generated = [&](uint64_t seed) {
        Engine engine(model(seed), CachePlan::dense(2, 2));
        const auto sequence = engine.new_sequence();
        const std::vector<int32_t> prompt = {1, 2, 3, 4};
        return generate(engine, *sequence, nullptr, prompt, {.max_new_tokens = 20}).ids;
    };
    const std::vector<int32_t> ids = generated(3);
    EXPECT_EQ(ids.size(), 20);
    EXPECT_THAT(generated(3), ElementsAreArray(ids));
    EXPECT_NE(generated(4), ids);
    EXPECT_EQ(model(3)->fingerprint(), model(3)->fingerprint());
    EXPECT_NE(model(3)->fingerprint(), model(4)->fingerprint());
    EXPECT_EQ(model()->weights().checkpoint->num_parameters(),
              2 * (kLayerWeights + 2 * 128) + 128 + 2 * kHeadWeights);
}

TEST_F(SpeedTest, CountsBytesAndOperations) {
    const auto model = this->model();
    // Layers may be padded where they lie.
    EXPECT_GE(step_weight_bytes(*model), 2 * (2 * kLayerWeights + kHeadWeights));
    EXPECT_LE(step_weight_bytes(*model), 3 * (2 * kLayerWeights + kHeadWeights));

    // Causal pairs of 5 tokens: 15, times 4 heads of 64, twice (scores, sums), two layers.
    const double attention = 2.0 * 15 * 4 * (64 + 64) * 2;
    EXPECT_DOUBLE_EQ(prefill_flops(*model, 5),
                     2.0 * 5 * 2 * kLayerWeights + 2.0 * kHeadWeights + attention);

    Engine engine(model, CachePlan::dense(2, 2));
    const auto sequence = engine.new_sequence();
    EXPECT_EQ(step_cache_bytes(*sequence), 0);
    engine.prefill(*sequence, std::vector<int32_t>(300, 1), {});
    // 19 tiles of 16 tokens, keys and values of 64 in bf16, in four heads.
    EXPECT_EQ(step_cache_bytes(*sequence), int64_t{4} * 19 * 16 * 64 * 2 * 2);
}

TEST_F(SpeedTest, MeasuresWhatWasAskedFor) {
    Engine engine(model(), CachePlan::dense(2, 2));
    SpeedOptions options{.prompts = {20, 7}, .depths = {0, 200}, .generate = 3, .repeat = 2};
    options.limits = {.read_bytes = 3 << 20, .dot_seconds = 1e-4, .repeats = 1};
    int64_t reports = 0;
    options.on_progress = [&](int64_t done, int64_t total, const std::string&) {
        EXPECT_EQ(done, reports++);
        EXPECT_EQ(total, 8);
    };
    const Speed speed = measure_speed(engine, options);
    EXPECT_EQ(reports, 8);
    ASSERT_EQ(speed.prefill.size(), 2);
    ASSERT_EQ(speed.decode.size(), 2);
    EXPECT_EQ(speed.prefill[0].tokens, 20);
    EXPECT_EQ(speed.decode[1].depth, 200);
    for (const PrefillSpeed& run : speed.prefill) {
        EXPECT_GT(run.tokens_per_second(), 0);
        EXPECT_GT(run.limit_share(), 0);
        EXPECT_GT(run.times.of(Phase::kLinear), 0);
        EXPECT_GT(run.times.of(Phase::kEncode), 0);
        EXPECT_GE(run.spread, 0);
    }
    for (const DecodeSpeed& run : speed.decode) {
        EXPECT_TRUE(std::isfinite(run.limit_share()));
        EXPECT_GT(run.limit_share(), 0);
        EXPECT_GT(run.times.of(Phase::kAttention), 0);
        EXPECT_GT(run.times.of(Phase::kSampling), 0);
        EXPECT_NEAR(run.tokens_per_second() * run.times.total(), 1, 1e-9);
        EXPECT_EQ(run.bytes_per_token(), run.weight_bytes + run.cache_bytes);
        EXPECT_GE(run.spread, 0);
        EXPECT_EQ(run.cache.tokens, run.depth + 1 + options.generate);
        EXPECT_GE(run.cache.bytes_allocated, run.cache_bytes);
    }
    EXPECT_GT(speed.decode[1].cache_bytes, speed.decode[0].cache_bytes);
    EXPECT_EQ(speed.decode[1].weight_bytes, speed.decode[0].weight_bytes);
}

/// Steps of so many seconds at 0, 1000, 2000 ... tokens.
std::vector<DecodeSpeed> steps(const std::vector<double>& seconds) {
    std::vector<DecodeSpeed> runs;
    for (const double s : seconds) {
        DecodeSpeed run;
        run.depth = 1000 * std::ssize(runs);
        run.times.seconds[static_cast<size_t>(Phase::kAttention)] = s;
        runs.push_back(run);
    }
    return runs;
}

TEST(DepthLine, GoesThroughWhatIsLinearAndNamesTheCliff) {
    const auto straight = depth_line(steps({0.010, 0.012, 0.014, 0.016}));
    ASSERT_TRUE(straight);
    EXPECT_NEAR(straight->seconds, 0.010, 1e-12);
    EXPECT_NEAR(straight->seconds_per_token, 2e-6, 1e-15);
    EXPECT_NEAR(straight->worst_deviation, 0, 1e-9);

    const auto cliff = depth_line(steps({0.010, 0.012, 0.020, 0.016, 0.018}));
    ASSERT_TRUE(cliff);
    EXPECT_EQ(cliff->worst_depth, 2000);
    EXPECT_GT(cliff->worst_deviation, 0.2);  // slower than the line
    EXPECT_LT(cliff->worst_deviation, 0.3);

    EXPECT_FALSE(depth_line(steps({0.010, 0.012})));
    std::vector<DecodeSpeed> same = steps({0.010, 0.012, 0.014});
    for (DecodeSpeed& run : same) run.depth = 5;
    EXPECT_FALSE(depth_line(same));
}

TEST_F(SpeedTest, RefusesWhatDoesNotFitBeforeMeasuring) {
    Engine engine(model(), CachePlan::dense(2, 2));
    const auto refusal = [&](SpeedOptions options) {
        options.on_progress = [](int64_t, int64_t, const std::string&) { FAIL(); };
        return message_of<UsageError>([&] { measure_speed(engine, options); });
    };
    EXPECT_THAT(refusal({.depths = {0, 4090}, .generate = 32}), HasSubstr("context of 4096"));
    EXPECT_THAT(refusal({.prompts = {5000}, .depths = {}}), HasSubstr("context of 4096"));
    EXPECT_THAT(refusal({.prompts = {0}, .depths = {}}), HasSubstr("no tokens"));
}

}  // namespace
}  // namespace lowkey
