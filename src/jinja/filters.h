#pragma once

#include <string>

#include "jinja/arguments.h"
#include "jinja/runtime.h"

namespace lowkey::jinja {

/// A filter: what `value | name(arguments)` gives. Throws Failure.
using FilterCode = Value (*)(Runtime& runtime, const Value& value, const Arguments& arguments);

/// The filter `name`; null when there is none. Throws Failure for filters of jinja2 that are
/// outside our subset.
FilterCode find_filter(const std::string& name);

// The table in two parts: filters of texts and numbers, and of sequences.
FilterCode find_text_filter(const std::string& name);
FilterCode find_sequence_filter(const std::string& name);

}  // namespace lowkey::jinja
