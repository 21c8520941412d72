#include "base/unicode.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/code_points.h"
#include "base/error.h"
#include "base/unicode_tables.h"

namespace lowkey {
namespace {

namespace tables = unicode_tables;

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr uint64_t kHighBits = 0x8080808080808080ULL;

uint8_t byte_at(std::string_view bytes, size_t pos) { return static_cast<uint8_t>(bytes[pos]); }

uint8_t value_at(const CodePointMap& map, char32_t c) { return c > kMaxCodePoint ? 0 : map[c]; }

CodePointMap map_of_runs(const uint32_t* runs, size_t count) {
    std::vector<CodePointMap::Run> list;
    for (size_t i = 0; i < count; ++i)
        list.push_back({static_cast<char32_t>(runs[i] >> 8), static_cast<uint8_t>(runs[i])});
    return CodePointMap(list);
}

// The other case by a table of sorted pairs, or `otherwise`.
char32_t other_case(const uint32_t* pairs, size_t count, char32_t c, char32_t otherwise) {
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (pairs[2 * middle] == c) return pairs[2 * middle + 1];
        if (pairs[2 * middle] < c) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return otherwise;
}

}  // namespace

size_t skip_ascii(std::string_view text, size_t pos) {
    for (; pos + 8 <= text.size(); pos += 8) {
        uint64_t eight = 0;
        std::memcpy(&eight, text.data() + pos, 8);
        if ((eight & kHighBits) != 0) break;
    }
    while (pos < text.size() && byte_at(text, pos) < 0x80) ++pos;
    return pos;
}

Utf8Char inspect_utf8(std::string_view bytes, size_t pos) {
    const uint8_t lead = byte_at(bytes, pos);
    if (lead < 0x80) return {1, true, false};
    if (lead < 0xC2 || lead > 0xF4) return {1, false, false};
    const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    // The second byte's range excludes overlong forms, surrogates and what lies beyond U+10FFFF.
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (size_t i = 1; i < length; ++i) {
        if (pos + i >= bytes.size()) return {i, false, true};
        const uint8_t next = byte_at(bytes, pos + i);
        if (next < low || next > high) return {i, false, false};
        low = 0x80;
        high = 0xBF;
    }
    return {length, true, false};
}

size_t incomplete_tail(std::string_view bytes) {
    for (size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
        const size_t pos = bytes.size() - back;
        if (begins_character(bytes[pos])) return inspect_utf8(bytes, pos).cut ? back : 0;
    }
    return 0;
}

std::string_view valid_utf8(std::string_view text, std::string& storage) {
    storage.clear();
    size_t copied = 0;
    for (size_t pos = skip_ascii(text, 0); pos < text.size(); pos = skip_ascii(text, pos)) {
        const Utf8Char c = inspect_utf8(text, pos);
        if (!c.valid) {
            storage.append(text, copied, pos - copied).append(kReplacement);
            copied = pos + c.length;
        }
        pos += c.length;
    }
    if (copied == 0) return text;
    storage.append(text, copied);
    return storage;
}

char32_t next_code_point(std::string_view text, size_t& pos) {
    const uint8_t lead = byte_at(text, pos++);
    if (lead < 0x80) return lead;
    const int more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    char32_t c = lead & (0x3FU >> more);
    for (int i = 0; i < more; ++i) c = (c << 6) | (byte_at(text, pos++) & 0x3FU);
    return c;
}

char32_t first_code_point(std::string_view text) {
    size_t pos = 0;
    return next_code_point(text, pos);
}

char32_t last_code_point(std::string_view text) {
    size_t pos = text.size() - 1;
    while (!begins_character(text[pos])) --pos;
    return next_code_point(text, pos);
}

void append_utf8(std::string& out, char32_t c) {
    const auto push = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (c < 0x80) return push(c);
    if (c < 0x800) {
        push(0xC0 | (c >> 6));
    } else {
        if (c < 0x10000) {
            push(0xE0 | (c >> 12));
        } else {
            push(0xF0 | (c >> 18));
            push(0x80 | (c >> 12 & 0x3F));
        }
        push(0x80 | (c >> 6 & 0x3F));
    }
    push(0x80 | (c & 0x3F));
}

int64_t num_characters(std::string_view text) {
    return std::count_if(text.begin(), text.end(), begins_character);
}

size_t byte_of_character(std::string_view text, int64_t index) {
    size_t pos = 0;
    while (pos < text.size()) {
        if (begins_character(text[pos]) && index-- == 0) return pos;
        ++pos;
    }
    return pos;
}

std::string_view next_character(std::string_view text, size_t& pos) {
    const size_t start = pos;
    next_code_point(text, pos);
    return text.substr(start, pos - start);
}

bool is_white_space(char32_t c) {
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

Category category(char32_t c) {
    static const CodePointMap map = map_of_runs(tables::kCategoryRuns, tables::kNumCategoryRuns);
    return static_cast<Category>(value_at(map, c));
}

bool is_numeric(char32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    const Category kind = category(c);
    return kind >= Category::kNd && kind <= Category::kNo;
}

bool is_punctuation(char32_t c) {
    if (c < 0x80) {
        return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) ||
               (c >= 0x7B && c <= 0x7E);
    }
    const Category kind = category(c);
    return kind >= Category::kPc && kind <= Category::kPo;
}

bool is_mark(char32_t c) {
    const Category kind = category(c);
    return kind >= Category::kMn && kind <= Category::kMe;
}

bool is_letter(char32_t c) {
    const Category kind = category(c);
    return kind >= Category::kLu && kind <= Category::kLo;
}

bool is_decimal(char32_t c) { return category(c) == Category::kNd; }
bool is_upper(char32_t c) { return category(c) == Category::kLu; }
bool is_title(char32_t c) { return category(c) == Category::kLt; }
bool is_lower(char32_t c) {
    return category(c) == Category::kLl || (to_lower(c) == c && to_upper(c) != c && !is_title(c));
}

bool is_printable(char32_t c) {
    if (c < 0x80) return c >= 0x20 && c < 0x7F;
    const Category kind = category(c);
    return kind != Category::kCn && kind < Category::kZs;
}

char32_t to_upper(char32_t c) {
    if (c < 0x80) return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
    return other_case(tables::kUpper, tables::kNumUpper, c, c);
}
char32_t to_lower(char32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
    return other_case(tables::kLower, tables::kNumLower, c, c);
}
char32_t to_title(char32_t c) {
    return other_case(tables::kTitle, tables::kNumTitle, c, to_upper(c));
}

char32_t fold_case(char32_t c) {
    // The dotted capital and the dotless small i, which only some languages join with i.
    if (c == 0x130 || c == 0x131) return c;
    return to_lower(to_upper(c));
}

std::string to_lowercase(std::string_view text) {
    constexpr char32_t dotted_capital_i = 0x130;  // the only one that becomes two characters
    std::string out;
    out.reserve(text.size());
    for (size_t pos = 0; pos < text.size();) {
        const char32_t c = next_code_point(text, pos);
        if (c == dotted_capital_i) {
            out.append("i\xCC\x87");
        } else {
            append_utf8(out, to_lower(c));
        }
    }
    return out;
}

}  // namespace lowkey
