#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/journal.h"

namespace lowkey {

/// How an evaluation goes through its items.
struct ItemOptions {
    /// Where finished items are kept, and those of an earlier run found; may be null.
    Journal* journal = nullptr;
    /// Called after each item, and first of all with those that are already there; `mean` is that
    /// of the first score.
    std::function<void(int64_t done, int64_t total, double mean)> on_progress = {};
    /// Asked before each item: true ends the evaluation with an Error that says how to go on.
    std::function<bool()> should_stop = {};
};

/// Results of items [0, count), each from run(item) unless an earlier run finished it. Every result
/// has just the scores of these names. Throws what run() throws; items finished by then are in the
/// journal.
std::vector<ItemResult> run_items(int64_t count, std::span<const std::string> scores,
                                  const std::function<ItemResult(int64_t item)>& run,
                                  const ItemOptions& options);

/// Mean of a score over results, of which there is one at least.
double mean_score(std::span<const ItemResult> results, const std::string& score);
/// The cache of the item that had most tokens; its peak is that of all items.
CacheUsage largest_cache(std::span<const ItemResult> results);

}  // namespace lowkey
