#pragma once

#include <string>
#include <string_view>

namespace lowkey {

/// The text with &, <, >, ' and " written for HTML and XML.
std::string escape_html(std::string_view text);

/// Whether line ends and tabs are part of a text, or must not break its line.
enum class Lines { kOne, kMany };

/// The text as a terminal may see it, whoever wrote it: control characters (ESC, NUL, those of C1
/// and those that turn the direction of writing) become spaces, what is no UTF-8 becomes U+FFFD.
std::string printable(std::string_view text, Lines lines = Lines::kOne);

}  // namespace lowkey
