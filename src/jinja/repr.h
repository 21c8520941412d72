#pragma once

#include <string>
#include <string_view>

#include "jinja/value.h"

namespace lowkey::jinja {

// What Python prints of a value. All throw Failure when it becomes too long.

/// str(value); an undefined value is nothing.
std::string to_text(const Value& value, Meter& meter);
/// repr(value): strings quoted.
std::string repr(const Value& value, Meter& meter);
/// The shortest number that reads back as the same, as repr(float) writes it.
std::string float_repr(double value);
/// A string in quotes, with what cannot be printed escaped, as repr(str) writes it.
std::string string_repr(std::string_view text);

}  // namespace lowkey::jinja
