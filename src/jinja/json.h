#pragma once

#include <string>
#include <string_view>

#include "jinja/value.h"

namespace lowkey::jinja {

/// How a value is written, as Python's json.dumps takes it.
struct JsonStyle {
    bool ensure_ascii = false;
    bool sort_keys = false;
    bool lines = false;  ///< each item on a line of its own, behind `indent` per level
    std::string indent;
    std::string item_separator = ", ";
    std::string key_separator = ": ";
};

/// The value as JSON: keys in their order, numbers as Python prints them. Throws Failure for what
/// JSON cannot say (undefined values, objects) and for a text that becomes too long.
std::string to_json(const Value& value, const JsonStyle& style, Meter& meter);

/// Reads JSON that is not trusted, objects in the order of their keys (of two equal keys the last
/// counts, at the place of the first, as in Python). Throws FileError naming `file`: not JSON,
/// nested deeper than a value may be, or an integer beyond 64 bits.
Value from_json(std::string_view text, const std::string& file);

}  // namespace lowkey::jinja
