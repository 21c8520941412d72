#include "report/shown_text.h"

#include "base/escape.h"
#include "base/unicode.h"

namespace lowkey {

std::string shown_text(std::string_view text) {
    std::string storage;
    std::string out;
    for (const char c : valid_utf8(text, storage)) {
        const bool line = c == '\t' || c == '\n' || c == '\r';
        const bool control = (static_cast<unsigned char>(c) < 0x20 && !line) || c == 0x7f;
        if (control) {
            out += "\uFFFD";
        } else {
            out += c;
        }
    }
    return out;
}

std::string shown_html(std::string_view text) { return escape_html(shown_text(text)); }

}  // namespace lowkey
