// Unicode's normal forms: decompose, sort marks, compose.
#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/code_points.h"
#include "base/unicode.h"
#include "base/unicode_tables.h"

namespace lowkey {
namespace {

namespace tables = unicode_tables;

// Hangul syllables are their letters by arithmetic (the Unicode Standard, section 3.12).
constexpr char32_t kSyllable = 0xAC00;
constexpr char32_t kLead = 0x1100;
constexpr char32_t kVowel = 0x1161;
constexpr char32_t kTrail = 0x11A7;  // one before the first
constexpr char32_t kNumVowels = 21;
constexpr char32_t kNumTrails = 28;
constexpr char32_t kNumLeads = 19;
constexpr char32_t kNumSyllables = kNumLeads * kNumVowels * kNumTrails;

using Decompositions = std::unordered_map<char32_t, const uint32_t*>;  // to (count, parts...)

Decompositions read_decompositions(const uint32_t* entry, size_t count) {
    Decompositions out;
    for (size_t i = 0; i < count; ++i) {
        out.emplace(entry[0], entry + 1);
        entry += 2 + entry[1];
    }
    return out;
}

uint8_t order_of(char32_t c) {
    static const CodePointMap map = [] {
        std::vector<CodePointMap::Run> runs;
        for (size_t i = 0; i < tables::kNumOrderRuns; ++i)
            runs.push_back({static_cast<char32_t>(tables::kOrderRuns[i] >> 8),
                            static_cast<uint8_t>(tables::kOrderRuns[i])});
        return CodePointMap(runs);
    }();
    return map[c];
}

void append_decomposed(std::vector<char32_t>& out, char32_t c, bool compatible) {
    static const auto canonical = read_decompositions(tables::kCanonical, tables::kNumCanonical);
    static const auto compatibles =
        read_decompositions(tables::kCompatible, tables::kNumCompatible);
    if (c >= kSyllable && c < kSyllable + kNumSyllables) {
        const char32_t index = c - kSyllable;
        out.push_back(kLead + index / (kNumVowels * kNumTrails));
        out.push_back(kVowel + index / kNumTrails % kNumVowels);
        if (index % kNumTrails != 0) out.push_back(kTrail + index % kNumTrails);
        return;
    }
    const auto find = [&](const Decompositions& table) {
        const auto entry = table.find(c);
        if (entry == table.end()) return false;
        out.insert(out.end(), entry->second + 1, entry->second + 1 + entry->second[0]);
        return true;
    };
    if (compatible && find(compatibles)) return;
    if (!find(canonical)) out.push_back(c);
}

// What two characters make, or 0.
char32_t composed(char32_t first, char32_t second) {
    if (first >= kLead && first < kLead + kNumLeads && second >= kVowel &&
        second < kVowel + kNumVowels) {
        return kSyllable + ((first - kLead) * kNumVowels + (second - kVowel)) * kNumTrails;
    }
    if (first >= kSyllable && first < kSyllable + kNumSyllables &&
        (first - kSyllable) % kNumTrails == 0 && second > kTrail && second < kTrail + kNumTrails) {
        return first + (second - kTrail);
    }
    static const std::unordered_map<uint64_t, char32_t> pairs = [] {
        std::unordered_map<uint64_t, char32_t> out;
        for (size_t i = 0; i < tables::kNumCompositions; ++i) {
            const uint32_t* entry = tables::kCompositions + 3 * i;
            out.emplace(uint64_t{entry[0]} << 32 | entry[1], entry[2]);
        }
        return out;
    }();
    const auto entry = pairs.find(uint64_t{first} << 32 | second);
    return entry == pairs.end() ? 0 : entry->second;
}

void sort_marks(std::vector<char32_t>& points) {
    for (size_t i = 0; i < points.size(); ++i) {
        size_t end = i;
        while (end < points.size() && order_of(points[end]) != 0) ++end;
        std::stable_sort(points.begin() + static_cast<ptrdiff_t>(i),
                         points.begin() + static_cast<ptrdiff_t>(end),
                         [](char32_t a, char32_t b) { return order_of(a) < order_of(b); });
        i = end;
    }
}

// A character joins the last starter unless one of its own order or a starter stands between.
void compose(std::vector<char32_t>& points) {
    size_t size = 0;
    size_t starter = 0;
    bool has_starter = false;
    uint8_t last_order = 0;  // of what is kept behind the starter; 0: nothing
    for (const char32_t c : points) {
        const uint8_t order = order_of(c);
        const bool adjacent = has_starter && size == starter + 1;
        if (has_starter && (adjacent || last_order < order)) {
            if (const char32_t whole = composed(points[starter], c); whole != 0) {
                points[starter] = whole;
                continue;
            }
        }
        if (order == 0) {
            starter = size;
            has_starter = true;
        }
        last_order = order;
        points[size++] = c;
    }
    points.resize(size);
}

void append_normal_form(std::string& out, std::string_view text, NormalForm form) {
    const bool composes = form == NormalForm::kNfc || form == NormalForm::kNfkc;
    const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
    std::vector<char32_t> points;
    points.reserve(text.size());
    for (size_t pos = 0; pos < text.size();)
        append_decomposed(points, next_code_point(text, pos), compatible);
    sort_marks(points);
    if (composes) compose(points);
    for (const char32_t c : points) append_utf8(out, c);
}

}  // namespace

std::string normalize(std::string_view text, NormalForm form) {
    std::string out;
    out.reserve(text.size());
    for (size_t pos = 0; pos < text.size();) {
        // ASCII stays as it is, but for a last character that marks may follow; and nothing crosses
        // into ASCII from its left.
        const size_t ascii_end = skip_ascii(text, pos);
        const size_t start =
            ascii_end == text.size() || ascii_end == pos ? ascii_end : ascii_end - 1;
        out.append(text, pos, start - pos);
        size_t end = ascii_end;
        while (end < text.size() && static_cast<uint8_t>(text[end]) >= 0x80) ++end;
        if (end > start) append_normal_form(out, text.substr(start, end - start), form);
        pos = end;
    }
    return out;
}

}  // namespace lowkey
