#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "eval/perplexity.h"
#include "eval/speed.h"

namespace lowkey::cli {

/// What `lowkey bench` found, and what it measured.
struct BenchReport {
    /// The same measurements on so many threads.
    struct Run {
        int threads = 1;
        Speed speed;
    };
    std::string architecture;
    std::string dtype;
    std::string fingerprint;
    int64_t num_parameters = 0;
    std::string plan;       ///< its file; empty: the uncompressed cache
    std::vector<Run> runs;  ///< one at least
    /// The plan's cache against the uncompressed one, where that was looked at.
    std::optional<Perplexity> check;
};

/// The command's JSON. Machine and limits are those of the last run.
nlohmann::json to_json(const BenchReport& report);
/// Tables on stdout.
void print(const BenchReport& report);
/// An SVG of the last run's times of a step against depth.
std::string step_plot(const BenchReport& report);

}  // namespace lowkey::cli
