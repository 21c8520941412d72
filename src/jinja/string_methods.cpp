#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/escape.h"
#include "base/unicode.h"
#include "jinja/format.h"
#include "jinja/methods.h"
#include "jinja/repr.h"
#include "jinja/text.h"

namespace lowkey::jinja {
namespace {

// The results of methods of markup are markup.
Value text_like(const Value& self, std::string_view text) {
    return Value::string(std::string(text), self.text().markup);
}

// Texts that go into markup are escaped.
std::string text_for(const Value& self, const Value& other) {
    const bool escape = self.text().markup && !other.text().markup;
    return escape ? escape_html(other.str()) : other.str();
}

const Value& string_argument(const Bound& bound, size_t place) {
    static_cast<void>(bound.string(place));
    return bound.at(place);
}

template <Side side>
Value strip_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("strip", {"chars"});
    runtime.meter().charge_text(self.str().size());
    if (!bound.is_set(0)) return text_like(self, strip(self.str(), std::nullopt, side));
    return text_like(self, strip(self.str(), bound.string(0), side));
}

template <std::string (*change)(std::string_view)>
Value case_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    arguments.expect_none("case");
    runtime.meter().charge_text(self.str().size());
    return text_like(self, change(self.str()));
}

template <bool (*predicate)(char32_t)>
Value is_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    arguments.expect_none("is");
    runtime.meter().charge_text(self.str().size());
    return Value::boolean(all_characters(self.str(), predicate));
}

template <bool (*predicate)(std::string_view)>
Value is_text_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    arguments.expect_none("is");
    runtime.meter().charge_text(self.str().size());
    return Value::boolean(predicate(self.str()));
}

bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

Value texts(const Value& self, const std::vector<std::string_view>& parts, Runtime& runtime) {
    runtime.meter().charge(static_cast<int64_t>(parts.size()));
    std::vector<Value> out;
    out.reserve(parts.size());
    for (const std::string_view part : parts) out.push_back(text_like(self, part));
    return Value::list(std::move(out));
}

template <Side from>
Value split_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("split", {"sep", "maxsplit"});
    runtime.meter().charge_text(self.str().size());
    const int64_t limit = bound.integer_or(1, -1);
    if (!bound.is_set(0)) return texts(self, split(self.str(), std::nullopt, limit, from), runtime);
    if (bound.string(0).empty()) throw Failure("empty separator");
    return texts(self, split(self.str(), bound.string(0), limit, from), runtime);
}

Value split_lines_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("splitlines", {"keepends"});
    runtime.meter().charge_text(self.str().size());
    return texts(self, split_lines(self.str(), bound.truthy_or(0, false)), runtime);
}

template <Side from>
Value partition_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("partition", {"sep"}, 1);
    const std::string& separator = bound.string(0);
    const std::string_view text = self.str();
    if (separator.empty()) throw Failure("empty separator");
    runtime.meter().charge_text(text.size());
    const size_t at =
        from == Side::kLeft ? find_bytes(text, separator, 0) : find_last_bytes(text, separator);
    const auto part = [&](std::string_view piece) { return text_like(self, piece); };
    if (at == std::string_view::npos) {
        return from == Side::kLeft ? Value::tuple({self, part(""), part("")})
                                   : Value::tuple({part(""), part(""), self});
    }
    return Value::tuple(
        {part(text.substr(0, at)), part(separator), part(text.substr(at + separator.size()))});
}

// The part of a text that `start` and `end` name, and the character at which it begins.
struct Window {
    std::string_view text;
    int64_t first = 0;
    bool valid = true;  ///< false: start lies behind the end, where not even "" is found
};

Window window(const Value& self, const Bound& bound) {
    const int64_t length = self.text().length;
    const auto place = [&](size_t argument, int64_t fallback) {
        if (!bound.is_set(argument)) return fallback;
        const int64_t at = bound.integer(argument);
        return at < 0 ? std::max<int64_t>(at + length, 0) : at;
    };
    const int64_t start = place(1, 0);
    const int64_t end = std::min(place(2, length), length);
    if (start > end) return {{}, 0, false};
    const size_t first = byte_of_character(self.str(), start);
    const size_t last = byte_of_character(self.str(), end);
    return {std::string_view(self.str()).substr(first, last - first), start, true};
}

template <bool prefix>
Value begins_or_ends(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const char* name = prefix ? "startswith" : "endswith";
    const Bound bound = arguments.bind(name, {prefix ? "prefix" : "suffix", "start", "end"}, 1);
    runtime.meter().charge_text(bound.has(1) ? self.str().size() : 0);
    const Window where = window(self, bound);
    const auto matches = [&](const Value& part) {
        if (!part.is_string()) {
            throw Failure(std::string(name) + " first arg must be str or a tuple of str, not " +
                          type_name(part));
        }
        const std::string& text = part.str();
        runtime.meter().charge_text(text.size());
        if (!where.valid || text.size() > where.text.size()) return false;
        const size_t at = prefix ? 0 : where.text.size() - text.size();
        return where.text.substr(at, text.size()) == text;
    };
    const Value& which = bound.at(0);
    if (!which.is(Kind::kTuple)) return Value::boolean(matches(which));
    return Value::boolean(std::any_of(which.items().begin(), which.items().end(), matches));
}

template <Side from>
std::optional<int64_t> find_place(Runtime& runtime, const Value& self, const Bound& bound) {
    runtime.meter().charge_text(self.str().size());
    const std::string& needle = bound.string(0);
    const Window where = window(self, bound);
    if (!where.valid) return std::nullopt;
    const size_t at = from == Side::kLeft ? find_bytes(where.text, needle, 0)
                                          : find_last_bytes(where.text, needle);
    if (at == std::string_view::npos) return std::nullopt;
    return where.first + num_characters(where.text.substr(0, at));
}

template <Side from>
Value find_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("find", {"sub", "start", "end"}, 1);
    return Value::integer(find_place<from>(runtime, self, bound).value_or(-1));
}

template <Side from>
Value index_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("index", {"sub", "start", "end"}, 1);
    const auto place = find_place<from>(runtime, self, bound);
    if (!place) throw Failure("substring not found");
    return Value::integer(*place);
}

Value count_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("count", {"sub", "start", "end"}, 1);
    runtime.meter().charge_text(self.str().size());
    const std::string& needle = bound.string(0);
    const Window where = window(self, bound);
    if (!where.valid) return Value::integer(0);
    if (needle.empty()) return Value::integer(num_characters(where.text) + 1);
    return Value::integer(count_bytes(where.text, needle));
}

Value replace_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("replace", {"old", "new", "count"}, 2);
    const std::string from = string_argument(bound, 0).str();
    const std::string to = text_for(self, string_argument(bound, 1));
    return text_like(self, replace_text(self.str(), from, to, bound.integer_or(2, -1), runtime));
}

Value join_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("join", {"iterable"}, 1);
    std::string out;
    bool first = true;
    for (const Value& item : to_items(bound.at(0), runtime.meter())) {
        if (!item.is_string() && !self.text().markup) {
            throw Failure(
                fmt::format("sequence item: expected str instance, {} found", type_name(item)));
        }
        const Value text = item.is_string() ? item : Value::string(to_text(item, runtime.meter()));
        if (!first) out += self.str();
        first = false;
        out += text_for(self, text);
        runtime.meter().charge_text(self.str().size() + text.str().size());
        if (static_cast<int64_t>(out.size()) > runtime.meter().limits().max_text_bytes) {
            runtime.meter().charge_text(out.size());
        }
    }
    return text_like(self, out);
}

Value format_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    return format_braces(self, arguments, runtime);
}

enum class Place { kLeft, kRight, kCenter };

template <Place place>
Value justify_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("justify", {"width", "fillchar"}, 1);
    const std::string fill = bound.string_or(1, " ");
    if (num_characters(fill) != 1) {
        throw Failure("The fill character must be exactly one character long");
    }
    const int64_t width = bound.integer(0);
    if (place == Place::kCenter) return text_like(self, center(self.str(), width, fill, runtime));
    const int64_t missing = std::max<int64_t>(width - self.text().length, 0);
    runtime.meter().charge_text(missing);
    std::string padding;
    for (int64_t i = 0; i < missing; ++i) padding += fill;
    return text_like(self, place == Place::kLeft ? self.str() + padding : padding + self.str());
}

Value zfill_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind("zfill", {"width"}, 1);
    const int64_t missing = std::max<int64_t>(bound.integer(0) - self.text().length, 0);
    runtime.meter().charge_text(missing);
    const std::string zeros(static_cast<size_t>(missing), '0');
    const std::string& text = self.str();
    const bool has_sign = !text.empty() && (text[0] == '+' || text[0] == '-');
    return text_like(self, has_sign ? text.substr(0, 1) + zeros + text.substr(1) : zeros + text);
}

template <bool prefix>
Value remove_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
    const Bound bound = arguments.bind(prefix ? "removeprefix" : "removesuffix", {"affix"}, 1);
    const std::string& affix = bound.string(0);
    std::string_view text = self.str();
    runtime.meter().charge_text(text.size());
    if (prefix && text.starts_with(affix)) text.remove_prefix(affix.size());
    if (!prefix && text.ends_with(affix)) text.remove_suffix(affix.size());
    return text_like(self, text);
}

const std::unordered_map<std::string, Method>& methods() {
    static const std::unordered_map<std::string, Method> table = {
        {"strip", strip_method<Side::kBoth>},
        {"lstrip", strip_method<Side::kLeft>},
        {"rstrip", strip_method<Side::kRight>},
        {"upper", case_method<upper>},
        {"lower", case_method<lower>},
        {"title", case_method<title>},
        {"capitalize", case_method<capitalize>},
        {"swapcase", case_method<swap_case>},
        {"isalpha", is_method<is_letter>},
        {"isalnum", is_method<is_alphanumeric>},
        {"isdigit", is_method<is_digit>},
        {"isdecimal", is_method<is_decimal>},
        {"isnumeric", is_method<is_numeric>},
        {"isspace", is_method<is_space>},
        {"isupper", is_text_method<all_upper>},
        {"islower", is_text_method<all_lower>},
        {"istitle", is_text_method<all_title>},
        {"isascii", is_text_method<is_ascii>},
        {"split", split_method<Side::kLeft>},
        {"rsplit", split_method<Side::kRight>},
        {"splitlines", split_lines_method},
        {"partition", partition_method<Side::kLeft>},
        {"rpartition", partition_method<Side::kRight>},
        {"startswith", begins_or_ends<true>},
        {"endswith", begins_or_ends<false>},
        {"find", find_method<Side::kLeft>},
        {"rfind", find_method<Side::kRight>},
        {"index", index_method<Side::kLeft>},
        {"rindex", index_method<Side::kRight>},
        {"count", count_method},
        {"replace", replace_method},
        {"join", join_method},
        {"format", format_method},
        {"ljust", justify_method<Place::kLeft>},
        {"rjust", justify_method<Place::kRight>},
        {"center", justify_method<Place::kCenter>},
        {"zfill", zfill_method},
        {"removeprefix", remove_method<true>},
        {"removesuffix", remove_method<false>},
    };
    return table;
}

}  // namespace

Method find_string_method(const std::string& name) {
    const auto found = methods().find(name);
    if (found != methods().end()) return found->second;
    for (const char* other : {"encode", "translate", "maketrans", "casefold", "expandtabs",
                              "format_map", "isidentifier", "isprintable"}) {
        if (name == other) {
            throw Failure(fmt::format("the string method '{}'", name),
                          Failure::Reason::kUnsupported);
        }
    }
    return nullptr;
}

std::string replace_text(const std::string& text, const std::string& from, const std::string& to,
                         int64_t limit, Runtime& runtime) {
    Meter& meter = runtime.meter();
    meter.charge_text(text.size());
    std::string out;
    size_t copied = 0;
    size_t pos = 0;
    for (int64_t done = 0; limit < 0 || done < limit; ++done) {
        const size_t found = find_bytes(text, from, pos);
        if (found == std::string::npos) break;
        out.append(text, copied, found - copied).append(to);
        meter.charge_text(to.size());
        if (static_cast<int64_t>(out.size()) > meter.limits().max_text_bytes) {
            meter.charge_text(out.size());
        }
        copied = found + from.size();
        pos = copied;
        if (!from.empty()) continue;
        if (pos >= text.size()) break;  // "" is found between all characters, and at both ends
        next_code_point(text, pos);
    }
    out.append(text, copied);
    return out;
}

std::string center(const std::string& text, int64_t width, const std::string& fill,
                   Runtime& runtime) {
    const int64_t missing = width - num_characters(text);
    if (missing <= 0) return text;
    runtime.meter().charge_text(missing * static_cast<int64_t>(fill.size()));
    // Python's choice of the side that gets one more.
    const int64_t left = missing / 2 + (missing & width & 1);
    std::string out;
    for (int64_t i = 0; i < left; ++i) out += fill;
    out += text;
    for (int64_t i = left; i < missing; ++i) out += fill;
    return out;
}

}  // namespace lowkey::jinja
