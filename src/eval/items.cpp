#include "eval/items.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"

namespace lowkey {
namespace {

/// Refuses a journal that somebody wrote into.
void check_finished(const Journal& journal, int64_t count, std::span<const std::string> scores) {
    const std::set<std::string> expected(scores.begin(), scores.end());
    for (const auto& [item, result] : journal.finished()) {
        std::set<std::string> names;
        for (const auto& [name, score] : result.scores) names.insert(name);
        if (item >= count || names != expected) {
            throw FileError("item " + std::to_string(item) + " is none of this evaluation's",
                            journal.path(), "name another file for --resume");
        }
    }
}

Error stopped(int64_t done, int64_t count, const Journal* journal) {
    return {fmt::format("stopped after {} of {} items", done, count),
            journal != nullptr ? journal->path() : "",
            journal != nullptr ? "give the same command again to go on"
                               : "with --resume FILE it could be continued"};
}

}  // namespace

std::vector<ItemResult> run_items(int64_t count, std::span<const std::string> scores,
                                  const std::function<ItemResult(int64_t item)>& run,
                                  const ItemOptions& options) {
    std::vector<ItemResult> results(static_cast<size_t>(count));
    std::vector<bool> is_done(static_cast<size_t>(count));
    int64_t done = 0;
    double sum = 0;
    const auto take = [&](int64_t item, const ItemResult& result) {
        results[static_cast<size_t>(item)] = result;
        is_done[static_cast<size_t>(item)] = true;
        sum += result.scores.at(scores.front());
        ++done;
    };
    const auto report = [&] {
        if (options.on_progress)
            options.on_progress(done, count, done > 0 ? sum / static_cast<double>(done) : 0);
    };
    if (options.journal != nullptr) {
        check_finished(*options.journal, count, scores);
        for (const auto& [item, result] : options.journal->finished()) take(item, result);
    }
    report();
    for (int64_t item = 0; item < count; ++item) {
        if (is_done[static_cast<size_t>(item)]) continue;
        if (options.should_stop && options.should_stop())
            throw stopped(done, count, options.journal);
        const ItemResult result = run(item);
        if (options.journal != nullptr) options.journal->add(item, result);
        take(item, result);
        report();
    }
    return results;
}

double mean_score(std::span<const ItemResult> results, const std::string& score) {
    double sum = 0;
    for (const ItemResult& result : results) sum += result.scores.at(score);
    return sum / static_cast<double>(results.size());
}

CacheUsage largest_cache(std::span<const ItemResult> results) {
    CacheUsage largest;
    int64_t peak = 0;
    for (const ItemResult& result : results) {
        if (result.cache.tokens > largest.tokens) largest = result.cache;
        peak = std::max(peak, result.cache.peak_bytes);
    }
    largest.peak_bytes = peak;
    return largest;
}

}  // namespace lowkey
