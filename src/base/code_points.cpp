#include "base/code_points.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "base/error.h"
#include "base/unicode.h"
#include "base/unicode_tables.h"

namespace lowkey {
namespace {

namespace tables = unicode_tables;

// General categories in the order of `enum class Category`, and their long names.
struct CategoryName {
    const char* code;
    const char* name;
};
constexpr CategoryName kCategoryNames[] = {{"cn", "unassigned"},
                                           {"lu", "uppercaseletter"},
                                           {"ll", "lowercaseletter"},
                                           {"lt", "titlecaseletter"},
                                           {"lm", "modifierletter"},
                                           {"lo", "otherletter"},
                                           {"mn", "nonspacingmark"},
                                           {"mc", "spacingmark"},
                                           {"me", "enclosingmark"},
                                           {"nd", "decimalnumber"},
                                           {"nl", "letternumber"},
                                           {"no", "othernumber"},
                                           {"pc", "connectorpunctuation"},
                                           {"pd", "dashpunctuation"},
                                           {"ps", "openpunctuation"},
                                           {"pe", "closepunctuation"},
                                           {"pi", "initialpunctuation"},
                                           {"pf", "finalpunctuation"},
                                           {"po", "otherpunctuation"},
                                           {"sm", "mathsymbol"},
                                           {"sc", "currencysymbol"},
                                           {"sk", "modifiersymbol"},
                                           {"so", "othersymbol"},
                                           {"zs", "spaceseparator"},
                                           {"zl", "lineseparator"},
                                           {"zp", "paragraphseparator"},
                                           {"cc", "control"},
                                           {"cf", "format"},
                                           {"cs", "surrogate"},
                                           {"co", "privateuse"}};
constexpr CategoryName kGroupNames[] = {{"l", "letter"},      {"m", "mark"},   {"n", "number"},
                                        {"p", "punctuation"}, {"s", "symbol"}, {"z", "separator"},
                                        {"c", "other"}};

// The code points whose run has a value that `is` accepts.
template <typename Is>
std::vector<CodePointRange> ranges_of_runs(const uint32_t* runs, size_t count, const Is& is) {
    std::vector<CodePointRange> out;
    for (size_t i = 0; i < count; ++i) {
        if (!is(static_cast<uint8_t>(runs[i]))) continue;
        const char32_t first = runs[i] >> 8;
        const char32_t last = i + 1 < count ? (runs[i + 1] >> 8) - 1 : kMaxCodePoint;
        if (!out.empty() && out.back().last + 1 == first) {
            out.back().last = last;
        } else {
            out.push_back({first, last});
        }
    }
    return out;
}

template <typename Is>
std::vector<CodePointRange> ranges_of_categories(const Is& is) {
    return ranges_of_runs(tables::kCategoryRuns, tables::kNumCategoryRuns,
                          [&](uint8_t value) { return is(kCategoryNames[value].code); });
}

std::optional<std::vector<CodePointRange>> category_ranges(const std::string& name) {
    if (name == "any") return std::vector<CodePointRange>{{0, kMaxCodePoint}};
    if (name == "assigned")
        return ranges_of_categories([](std::string_view code) { return code != "cn"; });
    if (name == "lc" || name == "casedletter") {
        return ranges_of_categories(
            [](std::string_view code) { return code == "lu" || code == "ll" || code == "lt"; });
    }
    for (const CategoryName& category : kCategoryNames) {
        if (name == category.code || name == category.name)
            return ranges_of_categories(
                [&](std::string_view code) { return code == category.code; });
    }
    for (const CategoryName& group : kGroupNames) {
        if (name == group.code || name == group.name)
            return ranges_of_categories(
                [&](std::string_view code) { return code.front() == group.code[0]; });
    }
    return std::nullopt;
}

std::optional<std::vector<CodePointRange>> script_ranges(const std::string& name) {
    for (size_t i = 0; i < tables::kNumScripts; ++i) {
        if (name != tables::kScriptNames[i] && name != tables::kScriptCodes[i]) continue;
        return ranges_of_runs(tables::kScriptRuns, tables::kNumScriptRuns,
                              [&](uint8_t value) { return value == i + 1; });
    }
    return std::nullopt;
}

std::optional<std::vector<CodePointRange>> other_ranges(const std::string& name) {
    const auto* end = tables::kProperties + tables::kNumProperties;
    const auto* found = std::lower_bound(tables::kProperties, end, name,
                                         [](const tables::PropertyEntry& entry,
                                            const std::string& key) { return entry.name < key; });
    if (found == end || found->name != name) return std::nullopt;
    std::vector<CodePointRange> out;
    const uint32_t* edge = tables::kPropertyEdges + found->begin;
    char32_t last = 0;
    for (size_t i = 0; i < found->num_ranges; ++i, edge += 2) {
        const char32_t first = last + edge[0];
        last = first + edge[1];
        out.push_back({first, last});
    }
    return out;
}

// Characters of one case-folded form, by any of them; only where there are several.
const std::map<char32_t, std::vector<char32_t>>& case_classes() {
    static const std::map<char32_t, std::vector<char32_t>> classes = [] {
        std::map<char32_t, std::vector<char32_t>> by_fold;
        std::vector<char32_t> cased;
        for (size_t i = 0; i < 2 * tables::kNumLower; ++i) cased.push_back(tables::kLower[i]);
        for (size_t i = 0; i < 2 * tables::kNumUpper; ++i) cased.push_back(tables::kUpper[i]);
        std::sort(cased.begin(), cased.end());
        cased.erase(std::unique(cased.begin(), cased.end()), cased.end());
        for (const char32_t c : cased) by_fold[fold_case(c)].push_back(c);
        std::map<char32_t, std::vector<char32_t>> by_member;
        for (const auto& [fold, members] : by_fold) {
            if (members.size() == 1) continue;
            for (const char32_t c : members) by_member[c] = members;
        }
        return by_member;
    }();
    return classes;
}

}  // namespace

CodePointSet CodePointSet::of(char32_t first, char32_t last) {
    return CodePointSet({{first, last}});
}

std::optional<CodePointSet> CodePointSet::with_property(std::string_view name) {
    std::string key;
    for (const char c : name) {
        if (c == ' ' || c == '_' || c == '-') continue;
        key += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    for (const auto& find : {category_ranges, other_ranges, script_ranges}) {
        if (auto ranges = find(key)) return CodePointSet(std::move(*ranges));
    }
    return std::nullopt;
}

void CodePointSet::add(const CodePointSet& other) {
    if (other.ranges_.empty()) return;
    std::vector<CodePointRange> all;
    all.reserve(ranges_.size() + other.ranges_.size());
    std::merge(ranges_.begin(), ranges_.end(), other.ranges_.begin(), other.ranges_.end(),
               std::back_inserter(all),
               [](const CodePointRange& a, const CodePointRange& b) { return a.first < b.first; });
    ranges_.clear();
    for (const CodePointRange& range : all) {
        if (!ranges_.empty() && range.first <= ranges_.back().last + 1) {
            ranges_.back().last = std::max(ranges_.back().last, range.last);
        } else {
            ranges_.push_back(range);
        }
    }
}

CodePointSet CodePointSet::intersection(const CodePointSet& other) const {
    std::vector<CodePointRange> out;
    for (size_t i = 0, j = 0; i < ranges_.size() && j < other.ranges_.size();) {
        const char32_t first = std::max(ranges_[i].first, other.ranges_[j].first);
        const char32_t last = std::min(ranges_[i].last, other.ranges_[j].last);
        if (first <= last) out.push_back({first, last});
        if (ranges_[i].last < other.ranges_[j].last) {
            ++i;
        } else {
            ++j;
        }
    }
    return CodePointSet(std::move(out));
}

CodePointSet CodePointSet::complement() const {
    std::vector<CodePointRange> out;
    char32_t next = 0;
    for (const CodePointRange& range : ranges_) {
        if (range.first > next) out.push_back({next, range.first - 1});
        next = range.last + 1;
    }
    if (next <= kMaxCodePoint) out.push_back({next, kMaxCodePoint});
    return CodePointSet(std::move(out));
}

CodePointSet CodePointSet::with_other_cases() const {
    std::vector<CodePointRange> more;
    const auto& classes = case_classes();
    for (const CodePointRange& range : ranges_) {
        for (auto entry = classes.lower_bound(range.first);
             entry != classes.end() && entry->first <= range.last; ++entry) {
            for (const char32_t c : entry->second) more.push_back({c, c});
        }
    }
    std::sort(more.begin(), more.end(),
              [](const CodePointRange& a, const CodePointRange& b) { return a.first < b.first; });
    CodePointSet out = *this;
    out.add(CodePointSet(std::move(more)));
    return out;
}

namespace {

std::vector<CodePointMap::Run> runs_of(const CodePointSet& set) {
    std::vector<CodePointMap::Run> runs;
    if (set.empty() || set.ranges().front().first > 0) runs.push_back({0, 0});
    for (const CodePointRange& range : set.ranges()) {
        runs.push_back({range.first, 1});
        if (range.last < kMaxCodePoint) runs.push_back({range.last + 1, 0});
    }
    return runs;
}

}  // namespace

CodePointMap::CodePointMap(const CodePointSet& set) : CodePointMap(runs_of(set)) {}

CodePointMap::CodePointMap(const std::vector<Run>& runs) {
    LOWKEY_CHECK(!runs.empty() && runs.front().first == 0);
    std::map<std::array<uint8_t, 256>, uint16_t> known;
    std::array<uint8_t, 256> page{};
    size_t run = 0;
    for (size_t number = 0; number < page_of_.size(); ++number) {
        for (size_t i = 0; i < 256;) {
            const auto c = static_cast<char32_t>(number * 256 + i);
            while (run + 1 < runs.size() && runs[run + 1].first <= c) ++run;
            const size_t end =
                run + 1 < runs.size() ? std::min<size_t>(256, i + (runs[run + 1].first - c)) : 256;
            std::fill(page.begin() + static_cast<ptrdiff_t>(i),
                      page.begin() + static_cast<ptrdiff_t>(end), runs[run].value);
            i = end;
        }
        const auto [entry, is_new] =
            known.emplace(page, static_cast<uint16_t>(pages_.size() / 256));
        if (is_new) pages_.insert(pages_.end(), page.begin(), page.end());
        page_of_[number] = entry->second;
    }
}

}  // namespace lowkey
