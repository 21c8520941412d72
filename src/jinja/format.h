#pragma once

#include "jinja/arguments.h"
#include "jinja/runtime.h"

namespace lowkey::jinja {

/// `format % value` of a string: %s %r %a %d %i %u %f %F %e %E %g %G %x %X %o %c and %%, with
/// flags, width, precision and %(name)s. `value` is one argument, a tuple of them, or a dict.
/// Throws Failure.
Value format_percent(const Value& format, const Value& value, Runtime& runtime);

/// `format.format(...)`: {} {0} {name} {0.attribute} {name[key]}, conversions !s and !r, and the
/// format specifications of strings and numbers. Throws Failure.
Value format_braces(const Value& format, const Arguments& arguments, Runtime& runtime);

}  // namespace lowkey::jinja
