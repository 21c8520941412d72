#include "jinja/repr.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "base/unicode.h"

namespace lowkey::jinja {
namespace {

void append_repr(std::string& out, const Value& value, Meter& meter);

void append_items(std::string& out, const std::vector<Value>& items, Meter& meter) {
    bool first = true;
    for (const Value& item : items) {
        if (!first) out += ", ";
        first = false;
        append_repr(out, item, meter);
    }
}

void append_dict(std::string& out, const Dict& dict, Meter& meter) {
    out += '{';
    bool first = true;
    for (const auto& [key, value] : dict.entries()) {
        if (!first) out += ", ";
        first = false;
        append_repr(out, key, meter);
        out += ": ";
        append_repr(out, value, meter);
    }
    out += '}';
}

std::string range_repr(const Range& range) {
    if (range.step == 1) return fmt::format("range({}, {})", range.start, range.stop);
    return fmt::format("range({}, {}, {})", range.start, range.stop, range.step);
}

void append_container(std::string& out, const Value& value, Meter& meter) {
    const std::vector<Value>& items = value.items();
    if (value.is(Kind::kView)) {
        out += type_name(value) + "([";
        append_items(out, items, meter);
        out += "])";
    } else if (value.is(Kind::kTuple)) {
        out += '(';
        append_items(out, items, meter);
        out += items.size() == 1 ? ",)" : ")";
    } else {
        out += '[';
        append_items(out, items, meter);
        out += ']';
    }
}

void append_repr(std::string& out, const Value& value, Meter& meter) {
    const size_t before = out.size();
    switch (value.kind()) {
        case Kind::kUndefined:
            out += "Undefined";
            break;
        case Kind::kNone:
            out += "None";
            break;
        case Kind::kBool:
            out += value.integer() != 0 ? "True" : "False";
            break;
        case Kind::kInt:
            out += std::to_string(value.integer());
            break;
        case Kind::kFloat:
            out += float_repr(value.real());
            break;
        case Kind::kString:
            meter.charge_text(value.str().size());
            out += value.text().markup ? fmt::format("Markup({})", string_repr(value.str()))
                                       : string_repr(value.str());
            break;
        case Kind::kList:
        case Kind::kTuple:
        case Kind::kView:
            append_container(out, value, meter);
            break;
        case Kind::kDict:
            append_dict(out, value.dict(), meter);
            break;
        case Kind::kRange:
            out += range_repr(value.range());
            break;
        case Kind::kIterator:
            out += "<generator object>";
            break;
        case Kind::kObject:
            out += value.object().repr(meter);
            break;
    }
    meter.charge_text(out.size() - before);
    if (static_cast<int64_t>(out.size()) > meter.limits().max_text_bytes) {
        meter.charge_text(out.size());
    }
}

void append_escaped(std::string& out, std::string_view character) {
    const char32_t c = first_code_point(character);
    if (is_printable(c)) {
        out += character;
    } else if (c < 0x100) {
        out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
    } else if (c < 0x10000) {
        out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else {
        out += fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
    }
}

}  // namespace

std::string to_text(const Value& value, Meter& meter) {
    if (value.is_string()) return value.str();
    if (value.is_undefined()) return {};
    return repr(value, meter);
}

std::string repr(const Value& value, Meter& meter) {
    std::string out;
    append_repr(out, value, meter);
    return out;
}

std::string float_repr(double value) {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
    char buffer[64];
    const auto end =
        std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
    // A copy: to_chars() writes no zero behind the digits, which stoi() needs.
    std::string scientific(buffer, end.ptr);
    const int exponent = std::stoi(scientific.substr(scientific.find('e') + 1));
    // Python's rule for when to write an exponent.
    if (exponent < -4 || exponent >= 16) return scientific;
    const auto fixed_end =
        std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
    std::string fixed(buffer, fixed_end.ptr);
    if (fixed.find('.') == std::string::npos) fixed += ".0";
    return fixed;
}

std::string string_repr(std::string_view text) {
    const bool has_single = text.find('\'') != std::string_view::npos;
    const bool has_double = text.find('"') != std::string_view::npos;
    const char quote = has_single && !has_double ? '"' : '\'';
    std::string out(1, quote);
    for (size_t pos = 0; pos < text.size();) {
        const size_t start = pos;
        next_code_point(text, pos);
        const std::string_view character = text.substr(start, pos - start);
        if (character == "\n") {
            out += "\\n";
        } else if (character == "\r") {
            out += "\\r";
        } else if (character == "\t") {
            out += "\\t";
        } else if (character == "\\" || character[0] == quote) {
            out += '\\';
            out += character;
        } else {
            append_escaped(out, character);
        }
    }
    return out + quote;
}

}  // namespace lowkey::jinja
