#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/comparison_report.h"

namespace lowkey {

/// Something in which a cache is worse than the uncompressed one, beyond what chance explains.
struct Loss {
    /// What is worse.
    enum class Of { kText, kNeedle, kTask, kSpeed, kMemory };
    Of of;
    bool severe = false;  ///< so much that few would accept it
    std::string what;     ///< "perplexity +3.4 %"
};

/// What a cache loses. Text: the mean change of the likelihood exceeds two standard errors; severe
/// from 5 % of the perplexity. Needles: fewer found than uncompressed; severe from a tenth fewer.
/// Tasks: of the questions on which the two differ, the loss exceeds two standard deviations of a
/// fair coin; then severe. Speed: at some depth even the upper end of its interval is under 0.95 of
/// the uncompressed cache's, and under what that one loses against itself; severe under 0.8.
/// Memory: no smaller at some length.
std::vector<Loss> losses_of(const ComparisonReport& report, const ComparedCache& cache);

/// The loss of speed at a depth, by its index; nothing within noise or of too few runs.
std::optional<Loss> speed_loss(const ComparisonReport& report, const ComparedCache& cache,
                               size_t depth);
/// "0.83× (0.80 to 0.86)"; without an interval where runs are too few.
std::string format_share(const SpeedScore& speed);

/// Bytes where quality was measured: at the end of a window of text, else after the longest needle
/// prompt, else at the longest length that was counted.
CacheUsage headline_usage(const ComparedCache& cache);

/// Bytes as a share of those that the uncompressed cache takes for as many tokens: of its pages, so
/// that it has 1 itself, however little of its last pages is filled.
double share_of_full(const CacheUsage& usage, const CacheUsage& full);

/// What the whole comparison says, in sentences: the smallest cache without a severe loss; each
/// cache's losses, and by whom it is beaten; how far the numbers can be trusted.
std::vector<std::string> findings(const ComparisonReport& report);

/// "+1.23 %", "-0.4 %", "±0.0 %"
std::string format_change(double share);

}  // namespace lowkey
