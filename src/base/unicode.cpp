#include "base/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace lowkey {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr uint64_t kHighBits = 0x8080808080808080ULL;

uint8_t byte_at(std::string_view bytes, size_t pos) { return static_cast<uint8_t>(bytes[pos]); }

// The end of the ASCII bytes that start at pos.
size_t skip_ascii(std::string_view text, size_t pos) {
    for (; pos + 8 <= text.size(); pos += 8) {
        uint64_t eight = 0;
        std::memcpy(&eight, text.data() + pos, 8);
        if ((eight & kHighBits) != 0) break;
    }
    while (pos < text.size() && byte_at(text, pos) < 0x80) ++pos;
    return pos;
}

utf8proc_category_t category(char32_t c) {
    return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

// Decomposes, sorts marks and composes `text`, and appends it. utf8proc_map would sort marks by
// swapping neighbours: quadratic in a long run of them, which a text may hold.
void append_normal_form(std::string& out, std::string_view text, NormalForm form) {
    const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
    const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
    const auto options = static_cast<utf8proc_option_t>(
        UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : UTF8PROC_DECOMPOSE));
    std::vector<utf8proc_int32_t> points;
    points.reserve(text.size());
    constexpr utf8proc_ssize_t longest = 32;  // U+FDFA becomes 18
    for (size_t pos = 0; pos < text.size();) {
        const auto c = static_cast<utf8proc_int32_t>(next_code_point(text, pos));
        utf8proc_int32_t parts[longest];
        const auto count = utf8proc_decompose_char(c, parts, longest, options, nullptr);
        LOWKEY_CHECK(count >= 0 && count <= longest);
        points.insert(points.end(), parts, parts + count);
    }
    const auto order = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
    for (size_t i = 0; i < points.size(); ++i) {
        size_t end = i;
        while (end < points.size() && order(points[end]) != 0) ++end;
        std::stable_sort(points.begin() + static_cast<ptrdiff_t>(i),
                         points.begin() + static_cast<ptrdiff_t>(end),
                         [&](auto a, auto b) { return order(a) < order(b); });
        i = end;
    }
    auto length = static_cast<utf8proc_ssize_t>(points.size());
    if (compose) {
        const auto how = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        length = utf8proc_normalize_utf32(points.data(), length, how);
    }
    for (utf8proc_ssize_t i = 0; i < length; ++i) {
        append_utf8(out, static_cast<char32_t>(points[static_cast<size_t>(i)]));
    }
}

}  // namespace

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
    while ((byte_at(text, pos) & 0xC0) == 0x80) --pos;
    return next_code_point(text, pos);
}

void append_utf8(std::string& out, char32_t c) {
    utf8proc_uint8_t bytes[4];
    const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes);
    out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

bool is_white_space(char32_t c) {
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

bool is_numeric(char32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    const auto kind = category(c);
    return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t c) {
    if (c < 0x80) {
        return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) ||
               (c >= 0x7B && c <= 0x7E);
    }
    const auto kind = category(c);
    return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool is_mark(char32_t c) {
    const auto kind = category(c);
    return kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME;
}

bool is_letter(char32_t c) {
    const auto kind = category(c);
    return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }
bool is_upper(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LU; }
bool is_title(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }
bool is_lower(char32_t c) {
    return category(c) == UTF8PROC_CATEGORY_LL ||
           (to_lower(c) == c && to_upper(c) != c && !is_title(c));
}

bool is_printable(char32_t c) {
    if (c < 0x80) return c >= 0x20 && c < 0x7F;
    switch (category(c)) {
        case UTF8PROC_CATEGORY_CN:
        case UTF8PROC_CATEGORY_CC:
        case UTF8PROC_CATEGORY_CF:
        case UTF8PROC_CATEGORY_CS:
        case UTF8PROC_CATEGORY_CO:
        case UTF8PROC_CATEGORY_ZL:
        case UTF8PROC_CATEGORY_ZP:
        case UTF8PROC_CATEGORY_ZS:
            return false;
        default:
            return true;
    }
}

char32_t to_upper(char32_t c) {
    return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}
char32_t to_lower(char32_t c) {
    return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}
char32_t to_title(char32_t c) {
    return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
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
        while (end < text.size() && byte_at(text, end) >= 0x80) ++end;
        if (end > start) append_normal_form(out, text.substr(start, end - start), form);
        pos = end;
    }
    return out;
}

}  // namespace lowkey
