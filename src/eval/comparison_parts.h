#pragma once

#include <functional>
#include <span>
#include <vector>

#include "eval/comparison.h"

namespace lowkey {

/// What a comparison's parts work on; all of it must outlive them.
struct Contest {
    const Tokenizer& tokenizer;
    const ComparisonTasks& tasks;
    std::vector<Engine*> engines = {};  ///< of the report's caches
    ComparisonReport report;
};

/// One of a comparison's evaluations: its items, and what becomes of their results.
struct ComparisonPart {
    std::vector<EvalItem> items = {};
    /// Puts the items' results into the contest's report.
    std::function<void(std::span<const std::vector<ItemResult>>)> take = {};
};

/// All evaluations of a comparison, and in the report what they are about. Throws what compare()
/// refuses.
std::vector<ComparisonPart> comparison_parts(Contest& contest);

}  // namespace lowkey
