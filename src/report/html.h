#pragma once

#include <string>

#include "report/comparison_report.h"

namespace lowkey {

/// A comparison as one HTML page that needs no other file and no network: charts are inline SVG,
/// and it is light or dark as its viewer prefers. All text of the report is escaped.
std::string report_html(const ComparisonReport& report);

}  // namespace lowkey
