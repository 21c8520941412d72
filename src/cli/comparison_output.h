#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/progress.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "eval/comparison.h"

namespace lowkey::cli {

// What `compare` and `demo` share: the way through a comparison's items, and what is left of it.

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

/// Progress on stderr, an end between two items when Ctrl-C is pressed, and a journal where
/// `resume` names one.
class ComparisonRun {
public:
    ComparisonRun(const std::string& resume, const nlohmann::json& settings);
    ComparisonRun(const ComparisonRun&) = delete;
    ComparisonRun& operator=(const ComparisonRun&) = delete;

    [[nodiscard]] const ComparisonProgress& options() const { return options_; }

private:
    Interrupt interrupt_;
    std::unique_ptr<Journal> journal_;
    std::optional<Progress> progress_;
    ComparisonProgress options_;
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
