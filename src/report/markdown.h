#pragma once

#include <string>

#include "report/comparison_report.h"

namespace lowkey {

/// A comparison in a few lines of Markdown, to be pasted into an issue: findings, one table, and
/// how to repeat it. Text of the report is escaped.
std::string report_markdown(const ComparisonReport& report);

}  // namespace lowkey
