#include "compress/rank_allocation.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lowkey {
namespace {

constexpr int64_t kPage = 32 * 1024;

HeadLoss head(double key, double value, int64_t d) {
    HeadLoss loss;
    for (int64_t r = 0; r <= d; ++r) {
        loss.key.push_back(r == d ? 0 : key * std::exp(-0.1 * static_cast<double>(r)));
        loss.value.push_back(r == d ? 0 : value * std::exp(-0.1 * static_cast<double>(r)));
    }
    return loss;
}

double share(const std::vector<HeadRanks>& ranks, int64_t d) {
    double bytes = 0;
    for (const HeadRanks& r : ranks) bytes += page_bytes_per_token(r.key + r.value, kPage, 2);
    return bytes / (static_cast<double>(ranks.size()) * page_bytes_per_token(2 * d, kPage, 2));
}

TEST(RankAllocation, StaysWithinTheBudgetAndUsesIt) {
    std::vector<HeadLoss> heads;
    for (int i = 0; i < 20; ++i) heads.push_back(head(1 + i, 20 - i, 64));
    for (const double keep : {0.1, 0.33, 0.5, 0.8, 1.0}) {
        const auto ranks = allocate_ranks(heads, keep, kPage, 2);
        EXPECT_LE(share(ranks, 64), keep + 1e-12);
        EXPECT_GE(share(ranks, 64), keep - 0.02);
    }
}

TEST(RankAllocation, RanksGoWhereLossIs) {
    const auto ranks = allocate_ranks({head(100, 1, 64), head(1, 1, 64)}, 0.5, kPage, 2);
    EXPECT_GT(ranks[0].key, ranks[0].value);
    EXPECT_GT(ranks[0].key + ranks[0].value, ranks[1].key + ranks[1].value);
    EXPECT_NEAR(static_cast<double>(ranks[1].key), static_cast<double>(ranks[1].value), 1);
}

TEST(RankAllocation, FillsThePagesItPays) {
    // No head could have one more coordinate for the same number of tokens per page.
    const auto ranks = allocate_ranks({head(3, 2, 64), head(5, 1, 64)}, 0.6, kPage, 2);
    for (const HeadRanks& r : ranks) {
        EXPECT_GT(page_bytes_per_token(r.key + r.value + 1, kPage, 2),
                  page_bytes_per_token(r.key + r.value, kPage, 2));
    }
}

TEST(RankAllocation, ABudgetBelowTheLeastGivesTheLeast) {
    const auto ranks = allocate_ranks({head(1, 1, 8)}, 1e-6, kPage, 2);
    EXPECT_EQ(ranks[0].key, 1);
    EXPECT_EQ(ranks[0].value, 1);
}

}  // namespace
}  // namespace lowkey
