#pragma once

#include <string>
#include <string_view>

namespace lowkey {

/// Text that every page can hold: valid UTF-8, with U+FFFD for what is none and for control
/// characters other than tabs and line ends.
std::string shown_text(std::string_view text);

/// shown_text(), written for HTML and SVG.
std::string shown_html(std::string_view text);

}  // namespace lowkey
