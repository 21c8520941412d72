#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/speed.h"

namespace lowkey {

/// How many times as fast a cache is as another one that was timed beside it, run by run.
struct SpeedShare {
    double median = 0;
    /// The median's confidence interval by the sign test, which asks nothing of how noise is
    /// distributed: the true median lies above, or below, with a chance of 5 % at most each. 0 and
    /// 0 where the runs are too few for one (less than kRunsForVerdict).
    double low = 0;
    double high = 0;
};

/// Runs from which on a share has an interval: of fewer, all may lie on one side by chance.
inline constexpr int64_t kRunsForVerdict = 5;

/// The share of paired runs, one ratio each; there is one at least.
SpeedShare speed_share(std::span<const double> ratios);

/// A cache's decoding beside that of the first one.
struct PairedSpeed {
    DecodeSpeed run;  ///< of median time
    /// Against the mean of the first cache's runs before and after it in the same round; of the
    /// first cache: the one after against the one before, which is what noise alone does.
    SpeedShare share;
};

/// Times greedy decoding behind `depth` cached tokens `options.repeat` times: the first engine, the
/// others in an order that turns from round to round, and the first again. What else happens on the
/// machine then disturbs all of them alike, and shows in what the first loses against itself.
std::vector<PairedSpeed> run_paired(std::span<Engine* const> engines, int64_t depth,
                                    const SpeedOptions& options);

}  // namespace lowkey
