#pragma once

#include <string>

#include "jinja/arguments.h"
#include "jinja/runtime.h"

namespace lowkey::jinja {

/// A test: what `value is name(arguments)` says. Throws Failure.
using ValueTest = bool (*)(Runtime& runtime, const Value& value, const Arguments& arguments);

/// What `value is name` asks; null when there is no such test.
ValueTest find_test(const std::string& name);

}  // namespace lowkey::jinja
