#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "jinja/json.h"
#include "jinja/template.h"

namespace lowkey {

/// What a template makes of variables, which are written as a JSON object.
inline std::string render(const std::string& source, const std::string& variables = "{}",
                          const jinja::Limits& limits = {}) {
    const jinja::Value values = jinja::from_json(variables, "variables");
    return jinja::Template(source, "t.jinja").render(values.dict(), limits);
}

/// The message with which it fails, which must be an Error.
inline std::string refusal(const std::string& source, const std::string& variables = "{}",
                           const jinja::Limits& limits = {}) {
    try {
        return "not refused: " + render(source, variables, limits).substr(0, 100);
    } catch (const Error& error) {
        return error.what();
    }
}

}  // namespace lowkey
