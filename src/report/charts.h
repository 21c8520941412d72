#pragma once

#include <string>
#include <vector>

#include "report/comparison_report.h"

namespace lowkey {

// The charts of a comparison, for a page that has svg::style(). A cache has one colour and one
// shape in all of them: those of its row. Charts whose numbers were not measured are left out.

/// Quality against the share of the uncompressed bytes, as they were measured together: the change
/// of the perplexity, needles, a task.
std::vector<std::string> quality_charts(const ComparisonReport& report);

/// Bytes by the length of the sequence; empty with fewer than two lengths.
std::string memory_chart(const ComparisonReport& report);
/// Tokens per second by depth, and the attention's time in a step.
std::vector<std::string> speed_charts(const ComparisonReport& report);
/// Needles by length and depth, a grid for each cache.
std::vector<std::string> needle_charts(const ComparisonReport& report);
/// Mean ranks of keys and of values by layer, and the layers' errors, of caches that have such.
std::vector<std::string> layer_charts(const ComparisonReport& report);
/// Scores of heads; tables that several plans share are drawn once.
std::vector<std::string> head_charts(const ComparisonReport& report);

/// The dot of a row, as small as a letter.
std::string cache_dot(size_t row);

}  // namespace lowkey
