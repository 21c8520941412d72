#include "jinja/arithmetic.h"
#include "base/escape.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "jinja/format.h"
#include "jinja/repr.h"
#include "jinja/runtime.h"
#include "jinja/text.h"

namespace lowkey::jinja {
namespace {

[[noreturn]] void overflow() {
    throw Failure("an integer beyond 64 bits", Failure::Reason::kUnsupported);
}

const char* symbol(Operator op) {
    switch (op) {
        case Operator::kAdd:
            return "+";
        case Operator::kSubtract:
            return "-";
        case Operator::kMultiply:
            return "*";
        case Operator::kDivide:
            return "/";
        case Operator::kFloorDivide:
            return "//";
        case Operator::kModulo:
            return "%";
        case Operator::kPower:
            return "**";
    }
    return "";
}

// Division that rounds down, so that the remainder has the divisor's sign.
int64_t floor_divide(int64_t a, int64_t b) {
    if (a == INT64_MIN && b == -1) overflow();
    const int64_t quotient = a / b;
    return (a % b != 0 && (a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

int64_t floor_modulo(int64_t a, int64_t b) {
    if (b == -1) return 0;
    const int64_t rest = a % b;
    return (rest != 0 && (rest < 0) != (b < 0)) ? rest + b : rest;
}

Value integer_power(int64_t base, int64_t exponent) {
    if (exponent < 0) {
        if (base == 0) throw Failure("0.0 cannot be raised to a negative power");
        return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
    }
    int64_t result = 1;
    while (exponent > 0) {
        if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) overflow();
        exponent >>= 1;
        if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow();
    }
    return Value::integer(result);
}

Value of_integers(Operator op, int64_t a, int64_t b) {
    int64_t out = 0;
    const bool divides =
        op == Operator::kDivide || op == Operator::kFloorDivide || op == Operator::kModulo;
    if (divides && b == 0) throw Failure("division by zero");
    switch (op) {
        case Operator::kAdd:
            if (__builtin_add_overflow(a, b, &out)) overflow();
            break;
        case Operator::kSubtract:
            if (__builtin_sub_overflow(a, b, &out)) overflow();
            break;
        case Operator::kMultiply:
            if (__builtin_mul_overflow(a, b, &out)) overflow();
            break;
        case Operator::kDivide:
            return Value::real(
                static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
        case Operator::kFloorDivide:
            out = floor_divide(a, b);
            break;
        case Operator::kModulo:
            out = floor_modulo(a, b);
            break;
        case Operator::kPower:
            return integer_power(a, b);
    }
    return Value::integer(out);
}

double float_modulo(double a, double b) {
    double rest = std::fmod(a, b);
    if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
    return rest == 0 ? std::copysign(0.0, b) : rest;
}

// Rounded as Python rounds it: the quotient of the rest that fmod() gives, then one less.
double float_floor_divide(double a, double b) {
    const double rest = std::fmod(a, b);
    double quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
    if (quotient == 0) return std::copysign(0.0, a / b);
    const double whole = std::floor(quotient);
    return quotient - whole > 0.5 ? whole + 1 : whole;
}

double float_power(double a, double b) {
    if (a == 0 && b < 0) throw Failure("0.0 cannot be raised to a negative power");
    const double power = std::pow(a, b);
    if (std::isnan(power) && !std::isnan(a) && !std::isnan(b)) {
        throw Failure("complex numbers", Failure::Reason::kUnsupported);
    }
    if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) {
        throw Failure("the result of ** is too large");
    }
    return power;
}

double of_floats(Operator op, double a, double b) {
    const bool divides =
        op == Operator::kDivide || op == Operator::kFloorDivide || op == Operator::kModulo;
    if (divides && b == 0) throw Failure("float division by zero");
    switch (op) {
        case Operator::kAdd:
            return a + b;
        case Operator::kSubtract:
            return a - b;
        case Operator::kMultiply:
            return a * b;
        case Operator::kDivide:
            return a / b;
        case Operator::kFloorDivide:
            return float_floor_divide(a, b);
        case Operator::kModulo:
            return float_modulo(a, b);
        case Operator::kPower:
            return float_power(a, b);
    }
    return 0;
}

bool is_list_or_tuple(const Value& value) {
    return value.is(Kind::kList) || value.is(Kind::kTuple);
}

Value same_kind(const Value& model, std::vector<Value> items) {
    return model.is(Kind::kList) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
}

// Text joined with markup is escaped first.
Value join_texts(const Value& a, const Value& b, Runtime& runtime) {
    const bool markup = a.text().markup || b.text().markup;
    const auto part = [&](const Value& value) {
        return markup && !value.text().markup ? escape_html(value.str()) : value.str();
    };
    runtime.meter().charge_text(a.str().size() + b.str().size());
    return Value::string(part(a) + part(b), markup);
}

Value repeat(const Value& value, int64_t times, Runtime& runtime) {
    const int64_t unit = value.is_string() ? static_cast<int64_t>(value.str().size())
                                           : static_cast<int64_t>(value.items().size());
    times = unit == 0 ? 0 : std::max<int64_t>(times, 0);
    int64_t total = 0;
    if (__builtin_mul_overflow(unit, times, &total)) total = INT64_MAX;
    if (value.is_string()) {
        runtime.meter().charge_text(total);
        std::string out;
        out.reserve(static_cast<size_t>(total));
        for (int64_t i = 0; i < times; ++i) out += value.str();
        return Value::string(std::move(out), value.text().markup);
    }
    runtime.meter().charge(std::min(total, runtime.meter().limits().max_steps + 1));
    std::vector<Value> out;
    for (int64_t i = 0; i < times; ++i) {
        out.insert(out.end(), value.items().begin(), value.items().end());
    }
    return same_kind(value, std::move(out));
}

Value join_items(const Value& a, const Value& b, Runtime& runtime) {
    runtime.meter().charge(static_cast<int64_t>(a.items().size() + b.items().size()));
    std::vector<Value> out = a.items();
    out.insert(out.end(), b.items().begin(), b.items().end());
    return same_kind(a, std::move(out));
}

[[noreturn]] void wrong_types(Operator op, const Value& a, const Value& b) {
    if (op == Operator::kAdd && a.is_string()) {
        throw Failure(fmt::format("can only concatenate str (not \"{}\") to str", type_name(b)));
    }
    throw Failure(std::string("unsupported operand types for ") + symbol(op) + ": '" +
                  type_name(a) + "' and '" + type_name(b) + "'");
}

// The digits of a number without underscores; nothing when one is not between two digits.
std::optional<std::string> without_underscores(std::string_view digits) {
    std::string out;
    for (size_t i = 0; i < digits.size(); ++i) {
        if (digits[i] != '_') {
            out += digits[i];
            continue;
        }
        const auto is_digit_at = [&](size_t at) {
            return at < digits.size() && std::isalnum(static_cast<unsigned char>(digits[at])) != 0;
        };
        if (i == 0 || !is_digit_at(i - 1) || !is_digit_at(i + 1)) return std::nullopt;
    }
    return out;
}

// Cuts "0x", "0o" or "0b" where `base` allows it; base 0 takes its base from there.
bool cut_prefix(std::string_view& digits, int& base) {
    int prefix_base = 0;
    if (digits.size() > 2 && digits[0] == '0') {
        switch (digits[1] | 0x20) {
            case 'x':
                prefix_base = 16;
                break;
            case 'o':
                prefix_base = 8;
                break;
            case 'b':
                prefix_base = 2;
                break;
            default:
                break;
        }
    }
    if (prefix_base != 0 && (base == 0 || base == prefix_base)) {
        base = prefix_base;
        digits.remove_prefix(2);
        if (digits[0] == '_') digits.remove_prefix(1);
    } else if (base == 0) {
        base = 10;
        const bool zero = digits.find_first_not_of("0_") == std::string_view::npos;
        if (digits.size() > 1 && digits[0] == '0' && !zero) return false;
    }
    return !digits.empty();
}

}  // namespace

Value apply(Operator op, const Value& a, const Value& b, Runtime& runtime) {
    if (op == Operator::kModulo && a.is_string()) return format_percent(a, b, runtime);
    for (const Value* value : {&a, &b}) {
        if (value->is_undefined()) throw Failure(value->undefined_message());
    }
    if (a.is_integral() && b.is_integral()) return of_integers(op, a.integer(), b.integer());
    if (a.is_number() && b.is_number()) {
        return Value::real(of_floats(op, a.number(), b.number()));
    }
    if (op == Operator::kAdd && a.is_string() && b.is_string()) return join_texts(a, b, runtime);
    if (op == Operator::kAdd && is_list_or_tuple(a) && a.kind() == b.kind()) {
        return join_items(a, b, runtime);
    }
    if (op == Operator::kMultiply) {
        if ((a.is_string() || is_list_or_tuple(a)) && b.is_integral()) {
            return repeat(a, b.integer(), runtime);
        }
        if ((b.is_string() || is_list_or_tuple(b)) && a.is_integral()) {
            return repeat(b, a.integer(), runtime);
        }
    }
    wrong_types(op, a, b);
}

Value negate(const Value& value) {
    if (value.is_undefined()) throw Failure(value.undefined_message());
    if (value.is(Kind::kFloat)) return Value::real(-value.real());
    if (!value.is_integral())
        throw Failure(fmt::format("bad operand type for -: '{}'", type_name(value)));
    if (value.integer() == INT64_MIN) overflow();
    return Value::integer(-value.integer());
}

Value positive(const Value& value) {
    if (value.is_undefined()) throw Failure(value.undefined_message());
    if (value.is(Kind::kFloat)) return value;
    if (!value.is_integral())
        throw Failure(fmt::format("bad operand type for +: '{}'", type_name(value)));
    return Value::integer(value.integer());
}

std::optional<int64_t> parse_integer(std::string_view text, int base) {
    std::string_view digits = strip(text, std::nullopt, Side::kBoth);
    const bool negative = !digits.empty() && digits[0] == '-';
    if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) digits.remove_prefix(1);
    if (digits.empty() || !cut_prefix(digits, base)) return std::nullopt;
    const auto plain = without_underscores(digits);
    if (!plain) return std::nullopt;
    // Counted downwards: there is one negative number more.
    int64_t out = 0;
    bool too_large = false;
    for (const char c : *plain) {
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'z' ? c - 'a' + 10
                          : c >= 'A' && c <= 'Z' ? c - 'A' + 10
                                                 : 36;
        if (digit >= base) return std::nullopt;
        too_large |=
            __builtin_mul_overflow(out, base, &out) || __builtin_sub_overflow(out, digit, &out);
    }
    if (!negative) too_large |= __builtin_sub_overflow(0, out, &out);
    if (too_large) overflow();
    return out;
}

std::optional<double> parse_real(std::string_view text) {
    const std::string_view number = strip(text, std::nullopt, Side::kBoth);
    const auto plain = without_underscores(number);
    if (!plain || plain->empty()) return std::nullopt;
    const std::string name = lower(plain->substr((*plain)[0] == '-' || (*plain)[0] == '+' ? 1 : 0));
    // strtod takes hexadecimal numbers and more names than Python.
    const bool named = name == "inf" || name == "infinity" || name == "nan";
    if (!named && plain->find_first_not_of("0123456789.eE+-") != std::string::npos) {
        return std::nullopt;
    }
    char* end = nullptr;
    const double value = std::strtod(plain->c_str(), &end);
    if (end != plain->c_str() + plain->size()) return std::nullopt;
    return value;
}

int64_t truncate_to_integer(double value) {
    if (std::isnan(value)) throw Failure("cannot convert float NaN to integer");
    if (std::isinf(value)) throw Failure("cannot convert float infinity to integer");
    if (value >= 0x1p63 || value < -0x1p63) overflow();
    return static_cast<int64_t>(value);
}

}  // namespace lowkey::jinja
