#pragma once

#include <CLI/CLI.hpp>
#include <set>
#include <string>
#include <vector>

#include "cli/command.h"
#include "report/comparison_report.h"

namespace lowkey::cli {

// What `compare` and `demo` share: what is left of a comparison.

/// Where a report goes: the page, and beside it the summary and the numbers.
struct ReportFiles {
    std::string html;
    std::string markdown;
    std::string json;

    /// Throws UsageError unless the name ends in .html.
    explicit ReportFiles(const std::string& html_path);
    /// Writes all three, each whole or not at all. Throws FileError.
    void write(const ComparisonReport& report) const;
};

/// Version, processor, kernels, threads and dtype.
void describe_setup(const CommonOptions& options, ComparisonReport& report);
/// The command as it was given, with paths cut down to their last part; `paths` are the long names
/// of options that take some, and those in `left_out` say nothing about the result.
std::string command_of(const CLI::App& app, const std::string& model,
                       const std::set<std::string>& paths, const std::set<std::string>& left_out);
/// "eigen-0.6" of "plans/eigen-0.6.plan"
std::string base_name(const std::string& path);

/// The table of a comparison on stdout, in colours where that is a terminal and NO_COLOR is not
/// set.
void print_comparison(const ComparisonReport& report);

}  // namespace lowkey::cli
