#pragma once

#include <string>
#include <string_view>

namespace lowkey {

/// The text with &, <, >, ' and " written for HTML and XML.
std::string escape_html(std::string_view text);

}  // namespace lowkey
