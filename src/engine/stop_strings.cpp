#include "engine/stop_strings.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/unicode.h"

namespace lowkey {
namespace {

/// How many bytes at the end of `text` begin `stop` without being all of it.
size_t beginning_at_end(std::string_view text, std::string_view stop) {
    for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
        if (text.ends_with(stop.substr(0, n))) return n;
    }
    return 0;
}

bool is_utf8(const std::string& text) {
    std::string replaced;
    return valid_utf8(text, replaced) == text;
}

}  // namespace

StopStrings::StopStrings(std::vector<std::string> stop) : stop_(std::move(stop)) {
    for (const std::string& s : stop_) {
        if (s.empty()) throw UsageError("a stop string is empty", "", "leave it out");
        // Generated text is UTF-8, so such a string would never come, but cut characters.
        if (!is_utf8(s)) throw UsageError("a stop string is not UTF-8", "", "write it in UTF-8");
    }
}

std::string StopStrings::push(std::string_view piece) {
    if (found_) return {};
    held_ += piece;
    size_t first = std::string::npos;
    size_t hold = 0;
    for (const std::string& s : stop_) {
        first = std::min(first, held_.find(s));
        hold = std::max(hold, beginning_at_end(held_, s));
    }
    found_ = first != std::string::npos;
    std::string certain = held_.substr(0, found_ ? first : held_.size() - hold);
    held_ = found_ ? std::string() : held_.substr(held_.size() - hold);
    return certain;
}

std::string StopStrings::finish() { return std::exchange(held_, {}); }

}  // namespace lowkey
