#pragma once

#include <string_view>

#include "jinja/value.h"

namespace lowkey::jinja {

/// Operators that apply() knows.
enum class Operator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };

/// Python's binary operators: of numbers; + and * of strings, lists and tuples; % of a format
/// string. Throws Failure: other types, division by zero, integers beyond 64 bits.
Value apply(Operator op, const Value& a, const Value& b, Runtime& runtime);
/// -value and +value. Throw Failure for what is no number.
Value negate(const Value& value);
Value positive(const Value& value);

/// Reads int(text, base) as Python does: spaces around, a sign, underscores between digits, a
/// prefix where the base allows. Nothing when it is no such number. Throws Failure beyond 64 bits.
std::optional<int64_t> parse_integer(std::string_view text, int base);
/// Reads float(text); nothing when it is no number.
std::optional<double> parse_real(std::string_view text);
/// int(x) of a float. Throws Failure for what no 64-bit integer holds.
int64_t truncate_to_integer(double value);

}  // namespace lowkey::jinja
