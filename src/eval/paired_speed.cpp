#include "eval/paired_speed.h"

#include <algorithm>

#include "base/error.h"

namespace lowkey {
namespace {

constexpr double kChance = 0.05;

/// How many of the smallest (and of the largest) of n values an interval of the median leaves out:
/// the most for which a fair coin falls so few times on one side with that chance at most. -1 if
/// even the whole range is too little.
int64_t left_out(int64_t n) {
    double term = 1;  // n over i, / 2^n
    for (int64_t i = 0; i < n; ++i) term /= 2;
    double chance = 0;
    int64_t count = -1;
    for (int64_t i = 0; i < n; ++i) {
        chance += term;
        if (chance > kChance) break;
        count = i;
        term *= static_cast<double>(n - i) / static_cast<double>(i + 1);
    }
    return count;
}

double seconds_of(const DecodeSpeed& run) { return run.times.total(); }

/// The run of median time.
DecodeSpeed median_run(std::vector<DecodeSpeed> runs) {
    const auto middle = runs.begin() + (std::ssize(runs) - 1) / 2;
    std::ranges::nth_element(runs, middle, {}, seconds_of);
    return *middle;
}

}  // namespace

SpeedShare speed_share(std::span<const double> ratios) {
    LOWKEY_CHECK(!ratios.empty());
    std::vector<double> sorted(ratios.begin(), ratios.end());
    std::ranges::sort(sorted);
    const int64_t n = std::ssize(sorted);
    const auto at = [&](int64_t i) { return sorted[static_cast<size_t>(i)]; };
    SpeedShare share{.median = (at((n - 1) / 2) + at(n / 2)) / 2};
    if (const int64_t out = left_out(n); out >= 0) {
        share.low = at(out);
        share.high = at(n - 1 - out);
    }
    return share;
}

std::vector<PairedSpeed> run_paired(std::span<Engine* const> engines, int64_t depth,
                                    const SpeedOptions& options) {
    const size_t others = engines.size() - 1;
    std::vector<std::vector<DecodeSpeed>> runs(engines.size());
    std::vector<std::vector<double>> ratios(engines.size());
    const auto run = [&](size_t i) {
        runs[i].push_back(run_decode(*engines[i], depth, options));
        return seconds_of(runs[i].back());
    };
    for (int round = 0; round < options.repeat; ++round) {
        const double before = run(0);
        for (size_t i = 0; i < others; ++i) run(1 + (i + static_cast<size_t>(round)) % others);
        const double after = run(0);
        ratios[0].push_back(before / after);
        for (size_t i = 1; i <= others; ++i)
            ratios[i].push_back((before + after) / 2 / seconds_of(runs[i].back()));
    }
    std::vector<PairedSpeed> out;
    for (size_t i = 0; i < engines.size(); ++i)
        out.push_back({median_run(std::move(runs[i])), speed_share(ratios[i])});
    return out;
}

}  // namespace lowkey
