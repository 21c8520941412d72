#include "jinja/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace lowkey::jinja {

FilterCode find_filter(const std::string& name) {
    static constexpr std::array<const char*, 8> unsupported = {
        "filesizeformat", "forceescape", "pprint",   "random",
        "striptags",      "urlize",      "wordwrap", "xmlattr"};
    if (std::find(unsupported.begin(), unsupported.end(), name) != unsupported.end()) {
        throw Failure(fmt::format("the filter '{}'", name), Failure::Reason::kUnsupported);
    }
    const FilterCode text = find_text_filter(name);
    return text != nullptr ? text : find_sequence_filter(name);
}

}  // namespace lowkey::jinja
