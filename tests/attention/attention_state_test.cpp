#include "attention/attention_state.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace lowkey {
namespace {

/// The state of tokens with these scores and values, in plain f64.
struct Owned {
    Owned(const std::vector<double>& scores, const std::vector<double>& values, int64_t dim)
        : max(1), sum(1), acc(static_cast<size_t>(dim)) {
        const AttentionState state = view();
        state.clear();
        if (scores.empty()) return;
        double top = scores[0];
        for (const double s : scores) top = std::max(top, s);
        max[0] = static_cast<float>(top);
        double total = 0;
        std::vector<double> weighted(static_cast<size_t>(dim), 0);
        for (size_t t = 0; t < scores.size(); ++t) {
            total += std::exp(scores[t] - top);
            for (int64_t i = 0; i < dim; ++i) {
                weighted[static_cast<size_t>(i)] +=
                    std::exp(scores[t] - top) *
                    values[t * static_cast<size_t>(dim) + static_cast<size_t>(i)];
            }
        }
        sum[0] = static_cast<float>(total);
        for (size_t i = 0; i < weighted.size(); ++i) acc[i] = static_cast<float>(weighted[i]);
    }
    [[nodiscard]] AttentionState view() {
        return {max, sum, acc, static_cast<int64_t>(acc.size())};
    }
    std::vector<float> max, sum, acc;
};

TEST(AttentionState, AnySplitMergesToTheWhole) {
    constexpr int64_t kDim = 5;
    std::mt19937 rng(7);
    std::normal_distribution<double> normal(0, 30);
    std::vector<double> scores(257), values(257 * kDim);
    for (double& s : scores) s = normal(rng);
    for (double& v : values) v = normal(rng);
    Owned whole(scores, values, kDim);
    std::vector<float> want(kDim), got(kDim);
    whole.view().normalize_row(0, want.data());
    for (const size_t split : {size_t{0}, size_t{1}, size_t{16}, size_t{256}, size_t{257}}) {
        const auto cut = static_cast<std::ptrdiff_t>(split);
        Owned left({scores.begin(), scores.begin() + cut},
                   {values.begin(), values.begin() + cut * kDim}, kDim);
        Owned right({scores.begin() + cut, scores.end()},
                    {values.begin() + cut * kDim, values.end()}, kDim);
        left.view().merge(right.view());
        left.view().normalize_row(0, got.data());
        for (size_t i = 0; i < got.size(); ++i)
            EXPECT_NEAR(got[i], want[i], 1e-5 * std::abs(want[i]) + 1e-5) << split;
    }
}

TEST(AttentionState, NoTokensMergeAsTheIdentity) {
    Owned a({}, {}, 3);
    Owned b({}, {}, 3);
    a.view().merge(b.view());
    EXPECT_EQ(a.sum[0], 0);
    EXPECT_EQ(a.max[0], -std::numeric_limits<float>::infinity());
}

}  // namespace
}  // namespace lowkey
