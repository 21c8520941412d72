#pragma once

#include <cstddef>
#include <string_view>

#include "jinja/value.h"

namespace lowkey::jinja {

/// Python's ==. Values of different types are not equal, but for numbers.
bool equals(const Value& a, const Value& b, Meter& meter);

/// Python's < and <=. Throw Failure for types that have no order.
bool less(const Value& a, const Value& b, Meter& meter);
bool less_equal(const Value& a, const Value& b, Meter& meter);

/// Python's `item in container`. Throws Failure when the container is none.
bool contains(const Value& container, const Value& item, Meter& meter);

/// Equal values have equal hashes. Throws Failure for what cannot be a key.
size_t hash_of(const Value& value, Meter& meter);
size_t hash_of(std::string_view text);

}  // namespace lowkey::jinja
