#include "eval/items.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/error.h"

namespace lowkey {
namespace {

/// Refuses a journal that somebody wrote into.
void check_finished(const Journal& journal, std::span<const EvalItem> items, int64_t num_caches) {
    for (const auto& [index, result] : journal.finished()) {
        std::set<std::string> names;
        for (const auto& [name, score] : result.scores) names.insert(name);
        const int64_t item = index / num_caches;
        bool fits = item < std::ssize(items);
        if (fits) {
            const std::vector<std::string>& scores = items[static_cast<size_t>(item)].scores;
            fits = names == std::set<std::string>(scores.begin(), scores.end());
        }
        if (!fits) {
            throw FileError("item " + std::to_string(index) + " is none of this evaluation's",
                            journal.path(), "name another file for --resume");
        }
    }
}

/// An item's results, where the journal has them of all caches.
std::optional<std::vector<ItemResult>> find_finished(const Journal* journal, int64_t item,
                                                     int64_t num_caches) {
    if (journal == nullptr) return std::nullopt;
    std::vector<ItemResult> results;
    for (int64_t i = 0; i < num_caches; ++i) {
        const auto found = journal->finished().find(item * num_caches + i);
        if (found == journal->finished().end()) return std::nullopt;
        results.push_back(found->second);
    }
    return results;
}

Error stopped(int64_t done, int64_t count, const Journal* journal) {
    return {fmt::format("stopped after {} of {} items", done, count),
            journal != nullptr ? journal->path() : "",
            journal != nullptr ? "give the same command again to go on"
                               : "with --resume FILE it could be continued"};
}

/// What progress shows, from item to item.
class Progressing {
public:
    explicit Progressing(std::span<const EvalItem> items) {
        now_.total = std::ssize(items);
        for (const EvalItem& item : items) whole_ += item.cost;
    }
    void add(const EvalItem& item, const std::vector<ItemResult>& results) {
        ++now_.done;
        cost_ += item.cost;
        if (item.scores.empty()) return;
        for (const ItemResult& result : results) sum_ += result.scores.at(item.scores.front());
        scored_ += std::ssize(results);
    }
    ItemProgress before(const EvalItem* next) {
        now_.share = next == nullptr ? 1 : cost_ / whole_;
        now_.mean = scored_ > 0 ? sum_ / static_cast<double>(scored_) : 0;
        now_.next = next == nullptr ? "" : next->label;
        return now_;
    }
    [[nodiscard]] int64_t done() const { return now_.done; }

private:
    ItemProgress now_;
    double whole_ = 0;
    double cost_ = 0;
    double sum_ = 0;
    int64_t scored_ = 0;
};

}  // namespace

ItemResults run_items(std::span<const EvalItem> items, int64_t num_caches,
                      const ItemOptions& options) {
    ItemResults results(items.size());
    std::vector<bool> is_done(items.size());
    Progressing progress(items);
    if (options.journal != nullptr) check_finished(*options.journal, items, num_caches);
    for (size_t i = 0; i < items.size(); ++i) {
        auto found = find_finished(options.journal, static_cast<int64_t>(i), num_caches);
        if (!found) continue;
        results[i] = std::move(*found);
        is_done[i] = true;
        progress.add(items[i], results[i]);
    }
    const auto report = [&](const EvalItem* next) {
        if (options.on_progress) options.on_progress(progress.before(next));
    };
    for (size_t i = 0; i < items.size(); ++i) {
        if (is_done[i]) continue;
        if (options.should_stop && options.should_stop())
            throw stopped(progress.done(), std::ssize(items), options.journal);
        report(&items[i]);
        results[i] = items[i].run();
        LOWKEY_CHECK(std::ssize(results[i]) == num_caches);
        if (options.journal != nullptr) {
            for (int64_t c = 0; c < num_caches; ++c)
                options.journal->add(static_cast<int64_t>(i) * num_caches + c,
                                     results[i][static_cast<size_t>(c)]);
        }
        progress.add(items[i], results[i]);
    }
    report(nullptr);
    return results;
}

std::vector<ItemResult> results_of(const ItemResults& results, size_t cache) {
    std::vector<ItemResult> own;
    for (const std::vector<ItemResult>& item : results) own.push_back(item[cache]);
    return own;
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
