#include "jinja/text.h"

#include <algorithm>
#include <cstring>

#include "base/unicode.h"

namespace lowkey::jinja {
namespace {

constexpr char32_t kSigma = 0x3A3;
constexpr char32_t kFinalSigma = 0x3C2;
constexpr char32_t kSharpS = 0xDF;

bool is_cased(char32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }

bool is_line_end(char32_t c) {
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

/// The nearest character on one side that is not a mark or an apostrophe has a case.
bool cased_before(std::string_view text, size_t pos) {
    while (pos > 0) {
        const char32_t c = last_code_point(text.substr(0, pos));
        if (!is_mark(c) && c != '\'') return is_cased(c);
        do {
            --pos;
        } while (!begins_character(text[pos]));
    }
    return false;
}

bool cased_after(std::string_view text, size_t pos) {
    while (pos < text.size()) {
        const char32_t c = next_code_point(text, pos);
        if (!is_mark(c) && c != '\'') return is_cased(c);
    }
    return false;
}

void append_upper(std::string& out, char32_t c) {
    if (c == kSharpS) {
        out += "SS";
    } else {
        append_utf8(out, to_upper(c));
    }
}

void append_title(std::string& out, char32_t c) {
    if (c == kSharpS) {
        out += "Ss";
    } else {
        append_utf8(out, to_title(c));
    }
}

// The character that ends at `pos` in lower case; a sigma that ends a word has a form of its own.
void append_lower(std::string& out, char32_t c, std::string_view text, size_t pos) {
    if (c == kSigma && cased_before(text, pos - 2) && !cased_after(text, pos)) {
        append_utf8(out, kFinalSigma);
    } else if (c == 0x130) {
        out += "i\xCC\x87";
    } else {
        append_utf8(out, to_lower(c));
    }
}

// Where a text begins in another, without overlaps, at most `limit` times (-1: any number).
std::vector<size_t> places_of(std::string_view text, std::string_view needle, int64_t limit) {
    std::vector<size_t> places;
    for (size_t pos = find_bytes(text, needle, 0); pos != std::string_view::npos;
         pos = find_bytes(text, needle, pos + needle.size())) {
        if (limit >= 0 && static_cast<int64_t>(places.size()) == limit) break;
        places.push_back(pos);
    }
    return places;
}

// The same, found from the right, which differs where occurrences overlap.
std::vector<size_t> places_from_right(std::string_view text, std::string_view needle,
                                      int64_t limit) {
    const std::string backwards(text.rbegin(), text.rend());
    std::vector<size_t> places =
        places_of(backwards, std::string(needle.rbegin(), needle.rend()), limit);
    std::reverse(places.begin(), places.end());
    for (size_t& place : places) place = text.size() - place - needle.size();
    return places;
}

std::vector<std::string_view> split_at_spaces(std::string_view text, int64_t limit) {
    std::vector<std::string_view> parts;
    std::string_view rest = strip(text, std::nullopt, Side::kLeft);
    while (!rest.empty()) {
        if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
            parts.push_back(rest);
            break;
        }
        size_t end = 0;
        for (size_t pos = 0; pos < rest.size() && !is_space(next_code_point(rest, pos));) end = pos;
        parts.push_back(rest.substr(0, end));
        rest = strip(rest.substr(end), std::nullopt, Side::kLeft);
    }
    return parts;
}

std::vector<std::string_view> split_at_spaces_from_right(std::string_view text, int64_t limit) {
    std::vector<std::string_view> parts;
    std::string_view rest = strip(text, std::nullopt, Side::kRight);
    while (!rest.empty()) {
        if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
            parts.push_back(rest);
            break;
        }
        size_t start = rest.size();
        for (size_t pos = rest.size(); pos > 0;) {
            do {
                --pos;
            } while (!begins_character(rest[pos]));
            if (is_space(first_code_point(rest.substr(pos)))) break;
            start = pos;
        }
        parts.push_back(rest.substr(start));
        rest = strip(rest.substr(0, start), std::nullopt, Side::kRight);
    }
    std::reverse(parts.begin(), parts.end());
    return parts;
}

}  // namespace

size_t find_bytes(std::string_view text, std::string_view needle, size_t from) {
    if (from > text.size()) return std::string_view::npos;
    if (needle.empty()) return from;
    const void* found =
        memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
    if (found == nullptr) return std::string_view::npos;
    return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t find_last_bytes(std::string_view text, std::string_view needle) {
    const std::string backwards(text.rbegin(), text.rend());
    const std::string backwards_needle(needle.rbegin(), needle.rend());
    const size_t found = find_bytes(backwards, backwards_needle, 0);
    return found == std::string_view::npos ? found : text.size() - found - needle.size();
}

int64_t count_bytes(std::string_view text, std::string_view needle) {
    int64_t count = 0;
    for (size_t pos = find_bytes(text, needle, 0); pos != std::string_view::npos;
         pos = find_bytes(text, needle, pos + needle.size())) {
        ++count;
    }
    return count;
}

bool is_space(char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

std::string_view strip(std::string_view text, std::optional<std::string_view> chars, Side side) {
    std::vector<char32_t> sorted;
    for (size_t pos = 0; chars && pos < chars->size();) {
        sorted.push_back(next_code_point(*chars, pos));
    }
    std::sort(sorted.begin(), sorted.end());
    const auto cut = [&](std::string_view character) {
        const char32_t c = first_code_point(character);
        return chars ? std::binary_search(sorted.begin(), sorted.end(), c) : is_space(c);
    };
    if (side != Side::kRight) {
        size_t start = 0;
        for (size_t pos = 0; pos < text.size() && cut(next_character(text, pos));) start = pos;
        text.remove_prefix(start);
    }
    if (side != Side::kLeft) {
        while (!text.empty()) {
            size_t start = text.size() - 1;
            while (!begins_character(text[start])) --start;
            if (!cut(text.substr(start))) break;
            text.remove_suffix(text.size() - start);
        }
    }
    return text;
}

std::vector<std::string_view> split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t limit,
                                    Side from) {
    if (!separator) {
        return from == Side::kRight ? split_at_spaces_from_right(text, limit)
                                    : split_at_spaces(text, limit);
    }
    std::vector<size_t> places = from == Side::kRight ? places_from_right(text, *separator, limit)
                                                      : places_of(text, *separator, limit);
    std::vector<std::string_view> parts;
    size_t start = 0;
    for (const size_t place : places) {
        parts.push_back(text.substr(start, place - start));
        start = place + separator->size();
    }
    parts.push_back(text.substr(start));
    return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
    std::vector<std::string_view> lines;
    size_t start = 0;
    for (size_t pos = 0; pos < text.size();) {
        const size_t end = pos;
        const char32_t c = next_code_point(text, pos);
        if (!is_line_end(c)) continue;
        if (c == '\r' && pos < text.size() && text[pos] == '\n') ++pos;
        lines.push_back(text.substr(start, (keep_ends ? pos : end) - start));
        start = pos;
    }
    if (start < text.size()) lines.push_back(text.substr(start));
    return lines;
}

std::string upper(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t pos = 0; pos < text.size();) append_upper(out, next_code_point(text, pos));
    return out;
}

std::string lower(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t pos = 0; pos < text.size();) {
        const char32_t c = next_code_point(text, pos);
        append_lower(out, c, text, pos);
    }
    return out;
}

std::string capitalize(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t pos = 0; pos < text.size();) {
        const bool first = pos == 0;
        const char32_t c = next_code_point(text, pos);
        if (first) {
            append_title(out, c);
        } else {
            append_lower(out, c, text, pos);
        }
    }
    return out;
}

std::string title(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    bool in_word = false;
    for (size_t pos = 0; pos < text.size();) {
        const char32_t c = next_code_point(text, pos);
        if (in_word) {
            append_lower(out, c, text, pos);
        } else {
            append_title(out, c);
        }
        in_word = is_cased(c);
    }
    return out;
}

std::string swap_case(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t pos = 0; pos < text.size();) {
        const char32_t c = next_code_point(text, pos);
        if (is_upper(c)) {
            append_lower(out, c, text, pos);
        } else if (is_lower(c)) {
            append_upper(out, c);
        } else {
            append_utf8(out, c);
        }
    }
    return out;
}

bool all_upper(std::string_view text) {
    bool any = false;
    for (size_t pos = 0; pos < text.size();) {
        const char32_t c = next_code_point(text, pos);
        if (is_lower(c) || is_title(c)) return false;
        any |= is_upper(c);
    }
    return any;
}

bool all_lower(std::string_view text) {
    bool any = false;
    for (size_t pos = 0; pos < text.size();) {
        const char32_t c = next_code_point(text, pos);
        if (is_upper(c) || is_title(c)) return false;
        any |= is_lower(c);
    }
    return any;
}

bool all_title(std::string_view text) {
    bool any = false;
    bool in_word = false;
    for (size_t pos = 0; pos < text.size();) {
        const char32_t c = next_code_point(text, pos);
        const bool begins = is_upper(c) || is_title(c);
        if ((begins && in_word) || (is_lower(c) && !in_word)) return false;
        in_word = is_cased(c);
        any |= in_word;
    }
    return any;
}

bool all_characters(std::string_view text, bool (*predicate)(char32_t)) {
    for (size_t pos = 0; pos < text.size();) {
        if (!predicate(next_code_point(text, pos))) return false;
    }
    return !text.empty();
}

bool is_digit(char32_t c) {
    const bool superscript = c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 ||
                             (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089);
    const bool circled = (c >= 0x2460 && c <= 0x2468) || (c >= 0x2474 && c <= 0x247C) ||
                         (c >= 0x2488 && c <= 0x2490) || (c >= 0x2776 && c <= 0x277E);
    return is_decimal(c) || superscript || circled;
}

bool is_alphanumeric(char32_t c) { return is_letter(c) || is_numeric(c); }

}  // namespace lowkey::jinja
