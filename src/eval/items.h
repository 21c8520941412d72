#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/journal.h"

namespace lowkey {

// The one way through an evaluation: `lowkey eval` and `lowkey compare` make lists of items, and
// run_items() puts them to one or many caches.

/// The name of the score of evaluations that have one: what share of it was right.
inline constexpr char kScore[] = "score";

/// A window of a text, a prompt, a question: what all caches that take part are put to at once.
struct EvalItem {
    /// Names of the scores that each cache's result has; progress shows the first.
    std::vector<std::string> scores = {};
    /// A result of each cache, in order. Depends on nothing that other items change.
    std::function<std::vector<ItemResult>()> run = {};
    std::string label = {};  ///< what progress calls it
    double cost = 1;         ///< work, in any unit that the evaluation's items share
};

/// How far an evaluation is.
struct ItemProgress {
    int64_t done = 0;       ///< items
    int64_t total = 0;      ///< items
    double share = 0;       ///< of the work that the finished items are
    double mean = 0;        ///< of the first score, over finished items and all caches
    std::string next = {};  ///< the label of the item that runs now; empty at the end
};

/// How an evaluation goes through its items.
struct ItemOptions {
    /// Where finished items are kept, and those of an earlier run found; may be null.
    Journal* journal = nullptr;
    /// Called before each item that runs, and at the end.
    std::function<void(const ItemProgress&)> on_progress = {};
    /// Asked before each item: true ends the evaluation with an Error that says how to go on.
    std::function<bool()> should_stop = {};
};

/// By item, and in it by cache.
using ItemResults = std::vector<std::vector<ItemResult>>;

/// Results of all items under `num_caches` caches, each from its run() unless an earlier run
/// finished it: in a journal a cache's result is item · num_caches + cache. Throws what run()
/// throws; items finished by then are in the journal. FileError when that holds what is none of
/// this evaluation's.
ItemResults run_items(std::span<const EvalItem> items, int64_t num_caches,
                      const ItemOptions& options);

/// One cache's results.
std::vector<ItemResult> results_of(const ItemResults& results, size_t cache);
/// Mean of a score over results, of which there is one at least.
double mean_score(std::span<const ItemResult> results, const std::string& score);
/// The cache of the item that had most tokens; its peak is that of all items.
CacheUsage largest_cache(std::span<const ItemResult> results);

}  // namespace lowkey
