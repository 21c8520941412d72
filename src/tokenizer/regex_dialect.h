#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "base/code_points.h"

namespace lowkey {

/// A construct that translate_regex does not translate; its text names it.
class DialectError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A pattern that is none; its text says why.
class PatternError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A regular expression over bytes that stand for kinds of characters: all that the original
/// pattern treats alike are one byte. A line feed stands for itself.
struct BytePattern {
    std::string pattern;   ///< for PCRE2, with MULTILINE only
    CodePointMap byte_of;  ///< of a code point
};

/// Tokenizer files hold regular expressions of Oniguruma (Ruby's syntax). Whatever a pattern says of
/// characters (classes with their intersections, properties, POSIX classes, letters in either case)
/// is worked out here, by the tables of base/code_points.h; what remains are repetitions, choices
/// and looking around, which PCRE2 does. So neither its Unicode version nor its syntax of classes
/// matter. Throws DialectError for what has no counterpart, as references to groups, and
/// PatternError.
BytePattern translate_regex(std::string_view pattern);

}  // namespace lowkey
