#include "jinja/format.h"
#include "base/escape.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/unicode.h"
#include "jinja/arithmetic.h"
#include "jinja/repr.h"

namespace lowkey::jinja {
namespace {

constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxPrecision = 1000;

/// A format specification, of either notation.
struct Spec {
    std::string fill = " ";
    char align = 0;  // < > ^ =, or 0 for the type's own
    char sign = '-';
    bool alternate = false;
    bool comma = false;
    int64_t width = 0;
    int64_t precision = -1;
    char type = 0;
};

/// Reads a text from left to right.
class Cursor {
public:
    explicit Cursor(std::string_view text) : text_(text) {}
    [[nodiscard]] bool done() const { return pos_ >= text_.size(); }
    [[nodiscard]] char peek(size_t ahead = 0) const {
        return pos_ + ahead < text_.size() ? text_[pos_ + ahead] : '\0';
    }
    char take() { return done() ? '\0' : text_[pos_++]; }
    bool take_if(char c) {
        if (done() || text_[pos_] != c) return false;
        ++pos_;
        return true;
    }
    std::string_view take_character() { return next_character(text_, pos_); }
    std::string_view rest_until(char c) {
        const size_t end = std::min(text_.find(c, pos_), text_.size());
        const std::string_view out = text_.substr(pos_, end - pos_);
        pos_ = end;
        return out;
    }
    /// Digits; -1 when there are none. Throws Failure for more than `most`.
    int64_t number(int64_t most) {
        if (peek() < '0' || peek() > '9') return -1;
        int64_t out = 0;
        while (peek() >= '0' && peek() <= '9') {
            out = out * 10 + (take() - '0');
            if (out > most) {
                throw Failure(
                    fmt::format("a format with a width or precision of more than {}", most),
                    Failure::Reason::kLimit);
            }
        }
        return out;
    }

private:
    std::string_view text_;
    size_t pos_ = 0;
};

std::string repeated(const std::string& unit, int64_t times) {
    std::string out;
    for (int64_t i = 0; i < times; ++i) out += unit;
    return out;
}

// `prefix` (a sign, 0x) stays in front of what '=' fills in.
std::string pad(const std::string& prefix, const std::string& body, const Spec& spec,
                char natural_align) {
    const int64_t missing = spec.width - num_characters(prefix) - num_characters(body);
    if (missing <= 0) return prefix + body;
    switch (spec.align != 0 ? spec.align : natural_align) {
        case '<':
            return prefix + body + repeated(spec.fill, missing);
        case '^':
            return repeated(spec.fill, missing / 2) + prefix + body +
                   repeated(spec.fill, missing - missing / 2);
        case '=':
            return prefix + repeated(spec.fill, missing) + body;
        default:
            return repeated(spec.fill, missing) + prefix + body;
    }
}

std::string sign_of(bool negative, const Spec& spec) {
    if (negative) return "-";
    return spec.sign == '-' ? "" : std::string(1, spec.sign);
}

// "1234567.5" -> "1,234,567.5"
std::string with_commas(const std::string& digits) {
    const size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
    std::string out;
    for (size_t i = 0; i < whole; ++i) {
        if (i > 0 && (whole - i) % 3 == 0) out += ',';
        out += digits[i];
    }
    return out + digits.substr(whole);
}

std::string digits_in_base(uint64_t value, int base, bool capitals) {
    const char* const symbols = capitals ? "0123456789ABCDEF" : "0123456789abcdef";
    std::string out;
    do {
        out += symbols[value % static_cast<uint64_t>(base)];
        value /= static_cast<uint64_t>(base);
    } while (value != 0);
    std::reverse(out.begin(), out.end());
    return out;
}

std::string format_integer(int64_t value, const Spec& spec) {
    const bool negative = value < 0;
    const uint64_t magnitude =
        negative ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    std::string prefix = sign_of(negative, spec);
    std::string digits;
    switch (spec.type) {
        case 'x':
        case 'X':
            if (spec.alternate) prefix += spec.type == 'x' ? "0x" : "0X";
            digits = digits_in_base(magnitude, 16, spec.type == 'X');
            break;
        case 'o':
            if (spec.alternate) prefix += "0o";
            digits = digits_in_base(magnitude, 8, false);
            break;
        case 'b':
            if (spec.alternate) prefix += "0b";
            digits = digits_in_base(magnitude, 2, false);
            break;
        default:
            digits = std::to_string(magnitude);
    }
    if (spec.precision > static_cast<int64_t>(digits.size())) {  // of % only: {} refuses it
        digits.insert(0, repeated("0", spec.precision - static_cast<int64_t>(digits.size())));
    }
    return pad(prefix, spec.comma ? with_commas(digits) : digits, spec, '>');
}

std::string printf_float(double value, char type, int64_t precision, bool alternate) {
    const std::string format = std::string("%") + (alternate ? "#" : "") + ".*" + type;
    const int size = std::snprintf(nullptr, 0, format.c_str(), static_cast<int>(precision), value);
    std::string out(static_cast<size_t>(size) + 1, '\0');
    std::snprintf(out.data(), out.size(), format.c_str(), static_cast<int>(precision), value);
    out.pop_back();
    return out;
}

std::string format_float(double value, const Spec& spec) {
    const double magnitude = std::fabs(value);
    std::string digits;
    if (spec.type == 0 && spec.precision < 0) {
        digits = float_repr(magnitude);
    } else if (spec.type == '%') {
        digits = printf_float(magnitude * 100, 'f', spec.precision < 0 ? 6 : spec.precision, false);
        digits += '%';
    } else {
        const char type = spec.type == 0 || spec.type == 'n' ? 'g' : spec.type;
        digits =
            printf_float(magnitude, type, spec.precision < 0 ? 6 : spec.precision, spec.alternate);
        const bool plain = digits.find_first_of(".en") == std::string::npos;
        if (spec.type == 0 && plain && spec.precision > static_cast<int64_t>(digits.size())) {
            digits += ".0";
        }
    }
    return pad(sign_of(std::signbit(value), spec), spec.comma ? with_commas(digits) : digits, spec,
               '>');
}

std::string format_text(const std::string& text, const Spec& spec) {
    std::string body = text;
    if (spec.precision >= 0) body.resize(byte_of_character(body, spec.precision));
    return pad("", body, spec, '<');
}

bool is_float_type(char type) {
    return std::string_view("eEfFgG%n").find(type) != std::string_view::npos;
}
bool is_integer_type(char type) {
    return std::string_view("dxXobn").find(type) != std::string_view::npos;
}

// format(value, spec)
std::string format_value(const Value& value, const Spec& spec, Runtime& runtime) {
    runtime.meter().charge_text(spec.width + std::max<int64_t>(spec.precision, 0));
    const auto wrong = [&] {
        return Failure(std::string("unknown format code '") + spec.type + "' for object of type '" +
                       type_name(value) + "'");
    };
    if (value.is_integral() && !(value.is(Kind::kBool) && spec.type == 0)) {
        if (spec.type == 'c') {
            std::string out;
            append_utf8(out, static_cast<char32_t>(value.integer() & 0x1FFFFF));
            return pad("", out, spec, '<');
        }
        if (spec.type == 0 || is_integer_type(spec.type)) {
            if (spec.precision >= 0)
                throw Failure("Precision not allowed in integer format specifier");
            return format_integer(value.integer(), spec);
        }
        if (is_float_type(spec.type)) return format_float(value.number(), spec);
        throw wrong();
    }
    if (value.is(Kind::kFloat)) {
        if (spec.type != 0 && !is_float_type(spec.type)) throw wrong();
        return format_float(value.real(), spec);
    }
    if (spec.type != 0 && spec.type != 's') throw wrong();
    const std::string text = to_text(value, runtime.meter());
    if (!value.is_string() && !value.is(Kind::kBool) &&
        (spec.width > 0 || spec.precision >= 0 || spec.align != 0)) {
        throw Failure(fmt::format("unsupported format string passed to {}", type_name(value)));
    }
    if (spec.align == '=') throw Failure("'=' alignment not allowed in string format specifier");
    return format_text(text, spec);
}

bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

Spec parse_spec(std::string_view text) {
    Cursor cursor(text);
    Spec spec;
    if (!cursor.done()) {
        Cursor ahead = cursor;
        const std::string_view first = ahead.take_character();
        if (is_align(ahead.peek())) {
            spec.fill = first;
            spec.align = ahead.take();
            cursor = ahead;
        } else if (is_align(cursor.peek())) {
            spec.align = cursor.take();
        }
    }
    if (cursor.peek() == '+' || cursor.peek() == '-' || cursor.peek() == ' ') {
        spec.sign = cursor.take();
    }
    spec.alternate = cursor.take_if('#');
    if (cursor.take_if('0') && spec.align == 0) {
        spec.fill = std::string(1, '0');
        spec.align = '=';
    }
    spec.width = std::max<int64_t>(cursor.number(kMaxWidth), 0);
    spec.comma = cursor.take_if(',');
    if (cursor.take_if('.')) {
        spec.precision = cursor.number(kMaxPrecision);
        if (spec.precision < 0) throw Failure("Format specifier missing precision");
    }
    spec.type = cursor.take();
    if (!cursor.done())
        throw Failure(fmt::format("Invalid format specifier '{}'", std::string(text)));
    return spec;
}

/// The replacement fields of one call of str.format().
class Fields {
public:
    Fields(const Arguments& arguments, Runtime& runtime)
        : arguments_(arguments), runtime_(runtime) {}

    std::string format(std::string_view text, int depth) {
        if (depth > 2) throw Failure("Max string recursion exceeded");
        std::string out;
        Cursor cursor(text);
        while (!cursor.done()) {
            const char c = cursor.take();
            const bool brace = c == '{' || c == '}';
            if (!brace || cursor.take_if(c)) {  // a doubled brace is one
                out += c;
            } else if (c == '}') {
                throw Failure("Single '}' encountered in format string");
            } else {
                out += field(cursor, depth);
            }
            if (static_cast<int64_t>(out.size()) > runtime_.meter().limits().max_text_bytes) {
                runtime_.meter().charge_text(out.size());
            }
        }
        runtime_.meter().charge_text(out.size());
        return out;
    }

private:
    // The cursor is behind the opening brace.
    std::string field(Cursor& cursor, int depth) {
        std::string name;
        while (!cursor.done() &&
               std::string_view("!:}").find(cursor.peek()) == std::string_view::npos) {
            if (cursor.peek() == '[') {  // a key may hold anything but ]
                name += cursor.rest_until(']');
            } else {
                name += cursor.take();
            }
        }
        char conversion = 0;
        if (cursor.take_if('!')) conversion = cursor.take();
        std::string spec;
        if (cursor.take_if(':')) {
            for (int open = 0; !cursor.done() && (open > 0 || cursor.peek() != '}');) {
                open += cursor.peek() == '{' ? 1 : cursor.peek() == '}' ? -1 : 0;
                spec += cursor.take();
            }
        }
        if (!cursor.take_if('}')) throw Failure("expected '}' before end of string");
        Value value = resolve(name);
        if (conversion == 's') {
            value = Value::string(to_text(value, runtime_.meter()));
        } else if (conversion == 'r') {
            value = Value::string(repr(value, runtime_.meter()));
        } else if (conversion != 0) {
            throw Failure(std::string("format conversion '!") + conversion + "'",
                          Failure::Reason::kUnsupported);
        }
        return format_value(value, parse_spec(format(spec, depth + 1)), runtime_);
    }

    Value resolve(const std::string& name) {
        const size_t end = std::min(name.find_first_of(".["), name.size());
        Value value = first(name.substr(0, end));
        for (size_t pos = end; pos < name.size();) {
            if (name[pos] == '.') {
                const size_t stop = std::min(name.find_first_of(".[", pos + 1), name.size());
                value = get_attribute(value, name.substr(pos + 1, stop - pos - 1), runtime_);
                pos = stop;
            } else if (name[pos] == '[') {
                const size_t stop = name.find(']', pos);
                if (stop == std::string::npos) throw Failure("Missing ']' in format string");
                const std::string key = name.substr(pos + 1, stop - pos - 1);
                value = get_item(value, key_value(key), runtime_);
                pos = stop + 1;
            } else {
                throw Failure("Only '.' or '[' may follow ']' in format field specifier");
            }
        }
        return value;
    }

    static bool is_number(const std::string& text) {
        return !text.empty() && text.size() < 10 &&
               text.find_first_not_of("0123456789") == std::string::npos;
    }
    static Value key_value(const std::string& key) {
        return is_number(key) ? Value::integer(std::atoll(key.c_str())) : Value::string(key);
    }

    Value first(const std::string& name) {
        if (name.empty() || is_number(name)) {
            const size_t place =
                name.empty() ? automatic_++ : static_cast<size_t>(std::atoll(name.c_str()));
            if (place >= arguments_.positional.size()) {
                throw Failure(fmt::format(
                    "Replacement index {} out of range for positional args tuple", place));
            }
            return arguments_.positional[place];
        }
        const Value* value = arguments_.find(name);
        if (value == nullptr) throw Failure(fmt::format("format() has no argument '{}'", name));
        return *value;
    }

    const Arguments& arguments_;
    Runtime& runtime_;
    size_t automatic_ = 0;
};

/// The arguments of one `format % value`.
class PercentArguments {
public:
    explicit PercentArguments(const Value& value) : value_(value) {}

    Value next() {
        if (value_.is(Kind::kTuple)) {
            if (used_ >= value_.items().size())
                throw Failure("not enough arguments for format string");
            return value_.items()[used_++];
        }
        if (used_++ > 0) throw Failure("not enough arguments for format string");
        return value_;
    }
    Value named(const std::string& name, Meter& meter) {
        used_by_name_ = true;
        if (!value_.is(Kind::kDict)) throw Failure("format requires a mapping");
        const Value* found = value_.dict().find(Value::string(name), meter);
        if (found == nullptr)
            throw Failure(fmt::format("the format string's key '{}' is missing", name));
        return *found;
    }
    void check_all_used() const {
        const bool left = value_.is(Kind::kTuple) ? used_ < value_.items().size() : used_ == 0;
        // Python takes whatever has items for a mapping, of which not all need be used.
        const bool mapping = value_.is(Kind::kDict) || value_.is(Kind::kList) ||
                             value_.is(Kind::kRange) || value_.is_undefined();
        if (left && !used_by_name_ && !mapping) {
            throw Failure("not all arguments converted during string formatting");
        }
    }

private:
    const Value& value_;
    size_t used_ = 0;
    bool used_by_name_ = false;
};

int64_t star_or_number(Cursor& cursor, PercentArguments& arguments, int64_t most) {
    if (!cursor.take_if('*')) return cursor.number(most);
    const Value value = arguments.next();
    if (!value.is_integral()) throw Failure("* wants int");
    if (value.integer() > most || value.integer() < -most) {
        throw Failure(fmt::format("a format with a width or precision of more than {}", most),
                      Failure::Reason::kLimit);
    }
    return value.integer();
}

Spec parse_percent_spec(Cursor& cursor, PercentArguments& arguments) {
    Spec spec;
    bool zero = false;
    for (;; cursor.take()) {
        const char c = cursor.peek();
        if (c == '-') {
            spec.align = '<';
        } else if (c == '0') {
            zero = true;
        } else if (c == '#') {
            spec.alternate = true;
        } else if (c == '+' || (c == ' ' && spec.sign == '-')) {
            spec.sign = c;
        } else if (c != ' ') {
            break;
        }
    }
    const int64_t width = star_or_number(cursor, arguments, kMaxWidth);
    if (width < -1) spec.align = '<';
    spec.width = width < -1 ? -width : std::max<int64_t>(width, 0);
    if (cursor.take_if('.')) {
        spec.precision = std::max<int64_t>(star_or_number(cursor, arguments, kMaxPrecision), 0);
    }
    if (zero && spec.align == 0) {
        spec.fill = std::string(1, '0');
        spec.align = '=';
    }
    if (spec.align == 0) spec.align = '>';
    spec.type = cursor.take();
    return spec;
}

std::string percent_text(const std::string& text, Spec spec) {
    if (spec.align == '=') {
        spec.align = '>';
        spec.fill = std::string(1, ' ');
    }
    return format_text(text, spec);
}

std::string percent_value(const Value& value, Spec spec, bool markup, Runtime& runtime) {
    runtime.meter().charge_text(spec.width + std::max<int64_t>(spec.precision, 0));
    switch (spec.type) {
        case 's': {
            std::string text = to_text(value, runtime.meter());
            if (markup && !(value.is_string() && value.text().markup)) text = escape_html(text);
            return percent_text(text, spec);
        }
        case 'r':
        case 'a':
            return percent_text(repr(value, runtime.meter()), spec);
        case 'd':
        case 'i':
        case 'u':
            if (!value.is_number()) {
                throw Failure(std::string("%") + spec.type +
                              " format: a real number is required, not " + type_name(value));
            }
            spec.type = 'd';
            return format_integer(
                value.is(Kind::kFloat) ? truncate_to_integer(value.real()) : value.integer(), spec);
        case 'x':
        case 'X':
        case 'o':
            if (!value.is_integral()) {
                throw Failure(std::string("%") + spec.type +
                              " format: an integer is required, not " + type_name(value));
            }
            return format_integer(value.integer(), spec);
        case 'e':
        case 'E':
        case 'f':
        case 'F':
        case 'g':
        case 'G':
            if (!value.is_number())
                throw Failure(fmt::format("must be real number, not {}", type_name(value)));
            return format_float(value.number(), spec);
        case 'c': {
            if (value.is_string() && value.text().length == 1)
                return percent_text(value.str(), spec);
            const bool valid = value.is_integral() && value.integer() >= 0 &&
                               value.integer() <= 0x10FFFF &&
                               (value.integer() < 0xD800 || value.integer() > 0xDFFF);
            if (!valid) throw Failure("%c requires int or char");
            std::string out;
            append_utf8(out, static_cast<char32_t>(value.integer()));
            return percent_text(out, spec);
        }
        default:
            throw Failure("unsupported format character in a % format");
    }
}

}  // namespace

Value format_percent(const Value& format, const Value& value, Runtime& runtime) {
    runtime.meter().charge_text(format.str().size());
    const bool markup = format.text().markup;
    PercentArguments arguments(value);
    Cursor cursor(format.str());
    std::string out;
    while (!cursor.done()) {
        const char c = cursor.take();
        if (c != '%') {
            out += c;
            continue;
        }
        if (cursor.done()) throw Failure("incomplete format");
        if (cursor.take_if('%')) {
            out += '%';
            continue;
        }
        std::optional<Value> named;
        if (cursor.take_if('(')) {
            named = arguments.named(std::string(cursor.rest_until(')')), runtime.meter());
            if (!cursor.take_if(')')) throw Failure("incomplete format key");
        }
        const Spec spec = parse_percent_spec(cursor, arguments);
        out += percent_value(named ? *named : arguments.next(), spec, markup, runtime);
        runtime.meter().charge_text(spec.width);
        if (static_cast<int64_t>(out.size()) > runtime.meter().limits().max_text_bytes) {
            runtime.meter().charge_text(out.size());
        }
    }
    arguments.check_all_used();
    return Value::string(std::move(out), markup);
}

Value format_braces(const Value& format, const Arguments& arguments, Runtime& runtime) {
    runtime.meter().charge_text(format.str().size());
    std::string out = Fields(arguments, runtime).format(format.str(), 0);
    return Value::string(std::move(out), format.text().markup);
}

}  // namespace lowkey::jinja
