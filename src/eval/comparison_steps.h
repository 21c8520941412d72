#pragma once

#include <functional>
#include <string>
#include <vector>

#include "eval/comparison.h"

namespace lowkey {

/// What comparison_steps() works on; all of it must outlive the steps.
struct Contest {
    const Tokenizer& tokenizer;
    const ComparisonTasks& tasks;
    std::vector<Engine*> engines = {};  ///< of the report's caches
    ComparisonReport report;
};

/// An item of a comparison: something that all caches are put to at once.
struct ComparisonStep {
    using Results = std::vector<ItemResult>;  ///< of the caches, in order
    std::string label = {};
    double cost = 0;                                ///< in tokens of a prompt, roughly
    std::vector<std::string> scores = {};           ///< that each result has
    std::function<Results()> run = {};              ///< depends on nothing that changes
    std::function<void(const Results&)> take = {};  ///< into the report, step after step
};

/// All items of a comparison, and in the report what they are about. Throws what
/// compare() refuses.
std::vector<ComparisonStep> comparison_steps(Contest& contest);

}  // namespace lowkey
