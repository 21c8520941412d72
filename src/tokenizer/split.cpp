#include "tokenizer/split.h"

#include <algorithm>

namespace lowkey {

SplitBehavior read_split_behavior(const JsonReader& component, const std::string& key) {
    const JsonReader member = component.at(key);
    std::string name;  // files have both MergedWithNext and merged_with_next
    for (const char c : member.string()) {
        if (c != '_') name += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    if (name == "removed") return SplitBehavior::kRemoved;
    if (name == "isolated") return SplitBehavior::kIsolated;
    if (name == "mergedwithprevious") return SplitBehavior::kMergedWithPrevious;
    if (name == "mergedwithnext") return SplitBehavior::kMergedWithNext;
    if (name == "contiguous") return SplitBehavior::kContiguous;
    member.fail("'" + member.string() + "' is no split behavior");
}

void append_split(const std::vector<SplitPart>& parts, SplitBehavior behavior, size_t offset,
                  std::vector<Piece>& out) {
    const auto append = [&](TextRange range) {
        if (range.begin < range.end) out.push_back({range.begin + offset, range.end + offset});
    };
    const auto first = static_cast<ptrdiff_t>(out.size());
    switch (behavior) {
        case SplitBehavior::kRemoved:
            for (const SplitPart& part : parts) {
                if (!part.is_match) append(part.range);
            }
            return;
        case SplitBehavior::kIsolated:
            for (const SplitPart& part : parts) append(part.range);
            return;
        case SplitBehavior::kContiguous:
            for (size_t i = 0; i < parts.size(); ++i) {
                TextRange range = parts[i].range;
                while (i + 1 < parts.size() && parts[i + 1].is_match == parts[i].is_match)
                    range.end = parts[++i].range.end;
                append(range);
            }
            return;
        case SplitBehavior::kMergedWithPrevious:
            for (size_t i = 0; i < parts.size(); ++i) {
                TextRange range = parts[i].range;
                if (!parts[i].is_match && i + 1 < parts.size() && parts[i + 1].is_match)
                    range.end = parts[++i].range.end;
                append(range);
            }
            return;
        case SplitBehavior::kMergedWithNext:
            for (size_t i = parts.size(); i-- > 0;) {
                TextRange range = parts[i].range;
                if (!parts[i].is_match && i > 0 && parts[i - 1].is_match)
                    range.begin = parts[--i].range.begin;
                append(range);
            }
            std::reverse(out.begin() + first, out.end());
            return;
    }
}

}  // namespace lowkey
