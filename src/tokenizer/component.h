#pragma once

#include <string>

#include "base/error.h"
#include "io/json_reader.h"

namespace lowkey {

/// "file, key" of a component's member, for the messages of what it holds.
inline std::string component_place(const JsonReader& component, const std::string& member) {
    return component.file() + ", " + component.string_or("type", "component") + "." + member;
}

/// Throws UnsupportedError naming a component ("pre-tokenizer 'BertPreTokenizer'").
[[noreturn]] inline void unsupported_component(const std::string& kind, const std::string& type,
                                               const JsonReader& component) {
    throw UnsupportedError(kind + " '" + type + "' is not supported", component.file(),
                           "use a tokenizer without it");
}

}  // namespace lowkey
