#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>

#include "base/escape.h"
#include "base/unicode.h"
#include "jinja/arithmetic.h"
#include "jinja/filters.h"
#include "jinja/format.h"
#include "jinja/json.h"
#include "jinja/methods.h"
#include "jinja/repr.h"
#include "jinja/text.h"

namespace lowkey::jinja {
namespace {

constexpr int64_t kMaxIndent = 1000;

// str(value), but markup stays markup.
Value soft_string(const Value& value, Runtime& runtime) {
    if (value.is_string()) return value;
    std::string text = to_text(value, runtime.meter());
    runtime.meter().charge_text(text.size());
    return Value::string(std::move(text));
}

/// The filter that is str's method of this name, of anything that can be printed.
Value by_method(const char* name, Runtime& runtime, const Value& value,
                const Arguments& arguments) {
    return find_string_method(name)(runtime, soft_string(value, runtime), arguments);
}

Value upper_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    return by_method("upper", runtime, value, arguments);
}
Value lower_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    return by_method("lower", runtime, value, arguments);
}
Value capitalize_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    return by_method("capitalize", runtime, value, arguments);
}
Value trim_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("trim", {"chars"});
    Arguments passed;
    if (bound.is_set(0)) passed.positional.push_back(bound.at(0));
    return by_method("strip", runtime, value, passed);
}
Value center_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("center", {"width"});
    const Value text = soft_string(value, runtime);
    return Value::string(center(text.str(), bound.integer_or(0, 80), " ", runtime),
                         text.text().markup);
}

// Unlike str.title(), a word begins behind spaces, hyphens and opening brackets only.
Value title_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("title");
    const Value text = soft_string(value, runtime);
    runtime.meter().charge_text(text.str().size());
    std::string out;
    std::string word;
    const auto flush = [&] {
        if (word.empty()) return;
        size_t pos = 0;
        const std::string_view first = next_character(word, pos);
        out += upper(first) + lower(std::string_view(word).substr(pos));
        word.clear();
    };
    const std::string& bytes = text.str();
    for (size_t pos = 0; pos < bytes.size();) {
        const std::string_view character = next_character(bytes, pos);
        const char32_t c = first_code_point(character);
        const bool between =
            is_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) !=
                                            std::string_view::npos);
        if (between) flush();
        (between ? out : word) += character;
    }
    flush();
    return Value::string(std::move(out), text.text().markup);
}

Value string_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("string");
    return soft_string(value, runtime);
}

Value safe_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("safe");
    return Value::string(soft_string(value, runtime).str(), true);
}

Value escape_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("escape");
    const Value text = soft_string(value, runtime);
    runtime.meter().charge_text(text.str().size());
    return Value::string(text.text().markup ? text.str() : escape_html(text.str()), true);
}

Value replace_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("replace", {"old", "new", "count"}, 2);
    const auto text = [&](const Value& part) { return to_text(part, runtime.meter()); };
    const int64_t limit = bound.is_set(2) ? bound.integer(2) : -1;
    return Value::string(
        replace_text(text(value), text(bound.at(0)), text(bound.at(1)), limit, runtime));
}

Value format_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    if (!arguments.positional.empty() && !arguments.named.empty()) {
        throw Failure("can't handle positional and keyword arguments at the same time");
    }
    Dict names;
    for (const auto& [name, argument] : arguments.named) names.set(name, argument);
    return format_percent(soft_string(value, runtime),
                          arguments.named.empty() ? Value::tuple(arguments.positional)
                                                  : Value::dict(std::move(names)),
                          runtime);
}

Value indent_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("indent", {"width", "first", "blank"});
    if (!value.is_string())
        throw Failure(fmt::format("indent takes a string, not {}", type_name(value)));
    std::string indent(4, ' ');
    if (bound.has(0) && bound.at(0).is_string()) {
        indent = bound.string(0);
    } else if (bound.has(0)) {
        const int64_t width = std::max<int64_t>(bound.integer(0), 0);
        runtime.meter().charge_text(width);
        indent.assign(static_cast<size_t>(width), ' ');
    }
    const std::string text = value.str() + "\n";
    const bool blank = bound.truthy_or(2, false);
    std::string out;
    bool first = true;
    for (const std::string_view line : split_lines(text, false)) {
        if (!first) out += '\n';
        if (first ? bound.truthy_or(1, false) : blank || !line.empty()) out += indent;
        out += line;
        runtime.meter().charge_text(line.size() + indent.size());
        if (static_cast<int64_t>(out.size()) > runtime.meter().limits().max_text_bytes) {
            runtime.meter().charge_text(out.size());
        }
        first = false;
    }
    return Value::string(std::move(out), value.text().markup);
}

Value truncate_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("truncate", {"length", "killwords", "end", "leeway"});
    const int64_t most = bound.integer_or(0, 255);
    const std::string end = bound.string_or(2, "...");
    const int64_t leeway = bound.is_set(3) ? bound.integer(3) : 5;
    if (most < num_characters(end)) throw Failure("truncate: length is shorter than the end");
    if (leeway < 0) throw Failure("truncate: leeway is negative");
    const auto size = length(value);
    if (size && *size - leeway <= most) return value;
    if (!value.is_string())
        throw Failure(fmt::format("truncate takes a string, not {}", type_name(value)));
    runtime.meter().charge_text(value.str().size());
    std::string out =
        value.str().substr(0, byte_of_character(value.str(), most - num_characters(end)));
    if (!bound.truthy_or(1, false)) out = out.substr(0, out.rfind(' '));
    return Value::string(out + end, value.text().markup);
}

Value wordcount_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("wordcount");
    const Value text = soft_string(value, runtime);
    runtime.meter().charge_text(text.str().size());
    int64_t count = 0;
    bool in_word = false;
    for (size_t pos = 0; pos < text.str().size();) {
        const char32_t c = next_code_point(text.str(), pos);
        const bool word = c == '_' || is_alphanumeric(c);
        if (word && !in_word) ++count;
        in_word = word;
    }
    return Value::integer(count);
}

std::string url_quoted(std::string_view text, bool in_query) {
    std::string out;
    for (const char c : text) {
        const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                           std::string_view("_.-~").find(c) != std::string_view::npos ||
                           (c == '/' && !in_query);
        if (plain) {
            out += c;
        } else if (c == ' ' && in_query) {
            out += '+';
        } else {
            out += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        }
    }
    return out;
}

Value urlencode_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    arguments.expect_none("urlencode");
    Meter& meter = runtime.meter();
    const auto quoted_text = [&](const Value& part, bool in_query) {
        const std::string text = to_text(part, meter);
        meter.charge_text(text.size() * 3);
        return url_quoted(text, in_query);
    };
    if (value.is_string() || !is_iterable(value)) return Value::string(quoted_text(value, false));
    std::string out;
    const auto add = [&](const Value& key, const Value& item) {
        if (!out.empty()) out += '&';
        out += quoted_text(key, true) + "=" + quoted_text(item, true);
        if (static_cast<int64_t>(out.size()) > meter.limits().max_text_bytes) {
            meter.charge_text(out.size());
        }
    };
    if (value.is(Kind::kDict)) {
        for (const auto& [key, item] : value.dict().entries()) add(key, item);
    } else {
        for (const Value& item : to_items(value, meter)) {
            const std::vector<Value> pair = to_items(item, meter);
            if (pair.size() != 2) throw Failure("urlencode takes pairs");
            add(pair[0], pair[1]);
        }
    }
    return Value::string(std::move(out));
}

Value int_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("int", {"default", "base"});
    Value fallback = bound.value_or(0, Value::integer(0));
    if (value.is_undefined()) throw Failure(value.undefined_message());
    if (value.is_integral()) return Value::integer(value.integer());
    if (value.is(Kind::kFloat)) {
        return std::isnan(value.real()) ? fallback
                                        : Value::integer(truncate_to_integer(value.real()));
    }
    if (!value.is_string()) return fallback;
    runtime.meter().charge_text(value.str().size());
    const int64_t base = bound.integer_or(1, 10);
    if (base == 0 || (base >= 2 && base <= 36)) {
        if (const auto whole = parse_integer(value.str(), static_cast<int>(base))) {
            return Value::integer(*whole);
        }
    }
    const auto real = parse_real(value.str());
    if (!real || !std::isfinite(*real)) return fallback;
    return Value::integer(truncate_to_integer(*real));
}

Value float_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("float", {"default"});
    Value fallback = bound.value_or(0, Value::real(0));
    if (value.is_undefined()) throw Failure(value.undefined_message());
    if (value.is_number()) return Value::real(value.number());
    if (!value.is_string()) return fallback;
    runtime.meter().charge_text(value.str().size());
    const auto real = parse_real(value.str());
    return real ? Value::real(*real) : fallback;
}

Value abs_filter(Runtime& /*runtime*/, const Value& value, const Arguments& arguments) {
    arguments.expect_none("abs");
    if (value.is_undefined()) throw Failure(value.undefined_message());
    if (value.is(Kind::kFloat)) return Value::real(std::fabs(value.real()));
    if (!value.is_integral())
        throw Failure(fmt::format("bad operand type for abs(): '{}'", type_name(value)));
    return value.integer() < 0 ? negate(value) : Value::integer(value.integer());
}

// Python's round(): to even where the decimal is exactly halfway.
double rounded(double value, int64_t digits) {
    if (!std::isfinite(value) || digits > 320) return value;
    if (digits < -320) return std::copysign(0.0, value);
    if (digits < 0) {
        const double unit = std::pow(10.0, static_cast<double>(-digits));
        return std::nearbyint(value / unit) * unit;
    }
    char buffer[700];  // 309 digits of the largest double and 320 behind the point
    std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(digits), value);
    return std::strtod(buffer, nullptr);
}

int64_t rounded(int64_t value, int64_t digits) {
    if (digits >= 0) return value;
    if (digits < -18) return 0;
    int64_t unit = 1;
    for (int64_t i = digits; i < 0; ++i) unit *= 10;
    int64_t down = value / unit * unit;
    if (value < down) down -= unit;
    const int64_t rest = value - down;
    const bool up = rest > unit - rest || (rest == unit - rest && (down / unit) % 2 != 0);
    int64_t out = down;
    if (up && __builtin_add_overflow(down, unit, &out)) {
        throw Failure("an integer beyond 64 bits", Failure::Reason::kUnsupported);
    }
    return out;
}

Value round_filter(Runtime& /*runtime*/, const Value& value, const Arguments& arguments) {
    const Bound bound = arguments.bind("round", {"precision", "method"});
    const int64_t digits = bound.integer_or(0, 0);
    const std::string method = bound.string_or(1, "common");
    if (value.is_undefined()) throw Failure(value.undefined_message());
    if (!value.is_number())
        throw Failure(fmt::format("round takes a number, not {}", type_name(value)));
    if (method == "common") {
        if (value.is_integral()) return Value::integer(rounded(value.integer(), digits));
        return Value::real(rounded(value.real(), digits));
    }
    if (method != "ceil" && method != "floor")
        throw Failure("method must be common, ceil or floor");
    const double unit = std::pow(10.0, static_cast<double>(digits));
    const double scaled = value.number() * unit;
    return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

JsonStyle json_style(const Bound& bound) {
    JsonStyle style;
    style.ensure_ascii = bound.truthy_or(0, false);
    style.sort_keys = bound.truthy_or(3, false);
    style.lines = bound.is_set(1);
    if (style.lines) {
        style.item_separator = std::string(1, ',');
        if (bound.at(1).is_string()) {
            style.indent = bound.string(1);
        } else {
            const int64_t width = bound.integer(1);
            if (width > kMaxIndent) {
                throw Failure(fmt::format("tojson: an indent of more than {}", kMaxIndent),
                              Failure::Reason::kLimit);
            }
            style.indent.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
        }
    }
    if (bound.is_set(2)) {
        const Value& separators = bound.at(2);
        const bool pair = separators.has_items() && separators.items().size() == 2 &&
                          separators.items()[0].is_string() && separators.items()[1].is_string();
        if (!pair) throw Failure("tojson: separators must be two strings");
        style.item_separator = separators.items()[0].str();
        style.key_separator = separators.items()[1].str();
    }
    return style;
}

Value tojson_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
    const Bound bound =
        arguments.bind("tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
    return Value::string(to_json(value, json_style(bound), runtime.meter()));
}

}  // namespace

FilterCode find_text_filter(const std::string& name) {
    static const std::unordered_map<std::string, FilterCode> table = {
        {"abs", abs_filter},
        {"capitalize", capitalize_filter},
        {"center", center_filter},
        {"e", escape_filter},
        {"escape", escape_filter},
        {"float", float_filter},
        {"format", format_filter},
        {"indent", indent_filter},
        {"int", int_filter},
        {"lower", lower_filter},
        {"replace", replace_filter},
        {"round", round_filter},
        {"safe", safe_filter},
        {"string", string_filter},
        {"title", title_filter},
        {"tojson", tojson_filter},
        {"trim", trim_filter},
        {"truncate", truncate_filter},
        {"upper", upper_filter},
        {"urlencode", urlencode_filter},
        {"wordcount", wordcount_filter},
    };
    const auto found = table.find(name);
    return found != table.end() ? found->second : nullptr;
}

}  // namespace lowkey::jinja
