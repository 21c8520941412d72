#include "base/escape.h"

#include "base/unicode.h"

namespace lowkey {
namespace {

bool steers_terminal(char32_t c) {
    const auto in = [c](char32_t first, char32_t last) { return c >= first && c <= last; };
    const bool control = c < 0x20 || in(0x7f, 0x9f);
    const bool line_end = in(0x2028, 0x2029);
    const bool direction = in(0x202a, 0x202e) || in(0x2066, 0x2069);
    return control || line_end || direction;
}

}  // namespace

std::string escape_html(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        switch (c) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '\'':
                out += "&#39;";
                break;
            case '"':
                out += "&#34;";
                break;
            default:
                out += c;
        }
    }
    return out;
}

std::string printable(std::string_view text, Lines lines) {
    std::string storage;
    text = valid_utf8(text, storage);
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
        const size_t begin = at;
        const char32_t c = next_code_point(text, at);
        if (steers_terminal(c) && !(lines == Lines::kMany && (c == '\n' || c == '\t'))) {
            out += ' ';
        } else {
            out += text.substr(begin, at - begin);
        }
    }
    return out;
}

}  // namespace lowkey
