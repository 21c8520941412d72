#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "jinja/value.h"

namespace lowkey::jinja {

struct ParsedTemplate;

/// A Jinja template, rendered as jinja2's immutable sandbox renders it with trim_blocks,
/// lstrip_blocks, break and continue, and what transformers adds for chat templates
/// (`generation` blocks, raise_exception, strftime_now, its tojson). The grammar is in parser.h;
/// docs/chat.md says what of Jinja is left out. Immutable: any thread may render.
class Template {
public:
    /// Parses `source`; `name` is what messages call it, as its file. Throws FileError with the
    /// line of a mistake, UnsupportedError for Jinja outside our subset.
    Template(std::string_view source, std::string name);

    /// Throws FileError with the line for what goes wrong, UnsupportedError for Jinja outside our
    /// subset, and Error with the template's own message where it calls raise_exception().
    [[nodiscard]] std::string render(const Dict& variables, const Limits& limits = {}) const;

private:
    std::string name_;
    std::shared_ptr<const ParsedTemplate> parsed_;
};

}  // namespace lowkey::jinja
