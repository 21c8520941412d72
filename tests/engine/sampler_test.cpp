#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "base/error.h"

namespace lowkey {
namespace {

const std::vector<float> kLogits = {0.5f, 2.0f, -1.0f, 1.5f, 1.0f, -3.0f, 0.0f, 1.9f};
constexpr int kDraws = 20000;

/// exp(logit / temperature) of the kept ids, normalized.
std::map<int32_t, double> expected(const std::vector<float>& logits, double temperature,
                                   const std::vector<int32_t>& kept) {
    std::map<int32_t, double> out;
    double total = 0;
    for (const int32_t id : kept) {
        out[id] = std::exp(static_cast<double>(logits[static_cast<size_t>(id)]) / temperature);
        total += out[id];
    }
    for (auto& [id, p] : out) p /= total;
    return out;
}

std::vector<int32_t> all_ids() { return {0, 1, 2, 3, 4, 5, 6, 7}; }

/// Draws must follow the expected distribution: Pearson's chi-square statistic stays below its mean
/// (degrees of freedom k) plus 5 of its standard deviations sqrt(2 k); and nothing else is drawn.
void expect_distribution(const SamplingOptions& options,
                         const std::map<int32_t, double>& probabilities,
                         const std::vector<int32_t>& tokens = {}) {
    SCOPED_TRACE("seed " + std::to_string(options.seed));
    Sampler sampler(options);
    std::map<int32_t, int> counts;
    for (int i = 0; i < kDraws; ++i) ++counts[sampler.sample(kLogits, tokens)];
    double chi_square = 0;
    for (const auto& [id, p] : probabilities) {
        const double mean = p * kDraws;
        chi_square += (counts[id] - mean) * (counts[id] - mean) / mean;
    }
    for (const auto& [id, count] : counts) EXPECT_TRUE(probabilities.contains(id)) << id;
    const auto k = static_cast<double>(probabilities.size() - 1);
    EXPECT_LE(chi_square, k + 5 * std::sqrt(2 * k));
}

TEST(Sampler, TemperatureZeroTakesTheLowestIdAmongEquals) {
    Sampler sampler({.temperature = 0, .top_k = 2, .top_p = 0.1});
    EXPECT_EQ(sampler.sample(kLogits, {}), 1);
    EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 3, 2}, {}), 1);
    EXPECT_EQ(sampler.sample(std::vector<float>{-INFINITY, -INFINITY, -4}, {}), 2);
}

TEST(Sampler, DrawsFollowTheTemperature) {
    for (const double temperature : {0.5, 1.0, 2.0}) {
        expect_distribution({.temperature = temperature, .seed = 1},
                            expected(kLogits, temperature, all_ids()));
    }
}

TEST(Sampler, TopKKeepsTheLikeliest) {
    expect_distribution({.temperature = 1, .top_k = 3, .seed = 2}, expected(kLogits, 1, {1, 7, 3}));
    expect_distribution({.temperature = 1, .top_k = 100, .seed = 2},
                        expected(kLogits, 1, all_ids()));
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
    // Shares in order of likelihood: 1: 0.285, 7: 0.258, 3: 0.173, 4: 0.105, 0: 0.064, ...
    const auto all = expected(kLogits, 1, all_ids());
    ASSERT_LT(all.at(1) + all.at(7), 0.6);
    ASSERT_GT(all.at(1) + all.at(7) + all.at(3), 0.6);
    expect_distribution({.temperature = 1, .top_p = 0.6, .seed = 3},
                        expected(kLogits, 1, {1, 7, 3}));
    expect_distribution({.temperature = 1, .top_p = 1e-9, .seed = 3}, {{1, 1.0}});
    expect_distribution({.temperature = 1, .top_p = 0, .seed = 3}, {{1, 1.0}});
}

TEST(Sampler, TopPSeesWhatTopKLeft) {
    // Of the first three, 1 and 7 hold 0.76: enough for 0.7, though not of all tokens.
    expect_distribution({.temperature = 1, .top_k = 3, .top_p = 0.7, .seed = 4},
                        expected(kLogits, 1, {1, 7}));
}

TEST(Sampler, MinPKeepsSharesOfTheLikeliest) {
    // exp(1 - 2) = 0.37, exp(0.5 - 2) = 0.22
    expect_distribution({.temperature = 1, .min_p = 0.3, .seed = 5},
                        expected(kLogits, 1, {1, 7, 3, 4}));
    expect_distribution({.temperature = 1, .min_p = 1, .seed = 5}, {{1, 1.0}});
}

TEST(Sampler, PenaltyDividesPositiveAndMultipliesNegativeLogitsOnce) {
    std::vector<float> penalized = kLogits;
    penalized[1] = 2.0f / 1.5f;
    penalized[2] = -1.0f * 1.5f;
    // Ids that come twice are penalized once; ids of a larger tokenizer do not matter.
    expect_distribution({.temperature = 1, .repeat_penalty = 1.5, .seed = 6},
                        expected(penalized, 1, all_ids()), {1, 2, 1, 1000});
    EXPECT_EQ(Sampler({.repeat_penalty = 1.5}).sample(kLogits, std::vector<int32_t>{1}), 7);
}

TEST(Sampler, TopPOfALargeVocabularyEqualsFullSorting) {
    // Weights 1/(i+1) at shuffled places: the first n sum to p of all.
    constexpr int32_t kSize = 5000;
    std::vector<float> logits(kSize);
    const auto place = [](int32_t rank) { return (rank * 1234 + 567) % 4999; };
    logits[4999] = -INFINITY;
    for (int32_t rank = 0; rank < 4999; ++rank) {
        logits[static_cast<size_t>(place(rank))] = -std::log(static_cast<float>(rank + 1));
    }
    double total = 0;
    for (int32_t rank = 0; rank < 4999; ++rank) total += 1.0 / (rank + 1);
    double sum = 0;
    int32_t kept = 0;
    while (sum < 0.9 * total) sum += 1.0 / ++kept;
    std::set<int32_t> allowed;
    for (int32_t rank = 0; rank < kept; ++rank) allowed.insert(place(rank));
    Sampler sampler({.temperature = 1, .top_p = 0.9, .seed = 7});
    std::set<int32_t> seen;
    for (int i = 0; i < 2000; ++i) seen.insert(sampler.sample(logits, {}));
    EXPECT_GT(kept, 512) << "more than sorted at first";
    EXPECT_GT(seen.size(), 300u);
    for (const int32_t id : seen) EXPECT_TRUE(allowed.contains(id)) << id;
}

TEST(Sampler, ASeedRepeatsItsChoices) {
    const auto draw = [](uint64_t seed) {
        Sampler sampler({.temperature = 1.5, .top_p = 0.95, .seed = seed});
        std::vector<int32_t> ids(50);
        for (int32_t& id : ids) id = sampler.sample(kLogits, {});
        return ids;
    };
    EXPECT_EQ(draw(1), draw(1));
    EXPECT_NE(draw(1), draw(2));
}

TEST(Sampler, SmallTemperaturesDoNotOverflow) {
    Sampler sampler({.temperature = 1e-30});
    EXPECT_EQ(sampler.sample(std::vector<float>{1e30f, -1e30f, 3e30f}, {}), 2);
}

TEST(Sampler, RefusesSettingsOutOfRange) {
    const double nan = NAN;
    for (const SamplingOptions& bad :
         {SamplingOptions{.temperature = -1}, SamplingOptions{.temperature = nan},
          SamplingOptions{.top_k = -1}, SamplingOptions{.top_p = 1.5},
          SamplingOptions{.top_p = nan}, SamplingOptions{.min_p = -0.1},
          SamplingOptions{.repeat_penalty = 0}, SamplingOptions{.repeat_penalty = INFINITY}}) {
        EXPECT_THROW(Sampler{bad}, UsageError);
    }
}

TEST(Sampler, RefusesLogitsThatAreNotFinite) {
    for (const double temperature : {0.0, 1.0}) {
        Sampler sampler({.temperature = temperature});
        EXPECT_THROW(sampler.sample(std::vector<float>{1, NAN, 2}, {}), Error);
        EXPECT_THROW(sampler.sample(std::vector<float>{NAN, NAN}, {}), Error);
        EXPECT_THROW(sampler.sample(std::vector<float>{1, INFINITY}, {}), Error);
        EXPECT_THROW(sampler.sample(std::vector<float>{-INFINITY, -INFINITY}, {}), Error);
        EXPECT_THROW(sampler.sample({}, {}), Error);
    }
}

}  // namespace
}  // namespace lowkey
