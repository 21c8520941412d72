#pragma once

#include <string>

#include "jinja/arguments.h"
#include "jinja/runtime.h"

namespace lowkey::jinja {

/// A method: what `self.name(arguments)` gives. Throws Failure.
using Method = Value (*)(Runtime& runtime, const Value& self, const Arguments& arguments);

/// The method `name` of a string, list, tuple or dict; null when the type has none. Throws Failure
/// for methods of Python that are outside our subset.
Method find_string_method(const std::string& name);
Method find_list_method(const std::string& name);
Method find_dict_method(const std::string& name);

/// A method that Python has and the sandbox forbids, because it would change its object.
bool is_forbidden_method(Kind kind, const std::string& name);

/// str.replace(): at most `limit` times, -1 for all. Throws Failure when the text gets too long.
std::string replace_text(const std::string& text, const std::string& from, const std::string& to,
                         int64_t limit, Runtime& runtime);
/// str.center()
std::string center(const std::string& text, int64_t width, const std::string& fill,
                   Runtime& runtime);

}  // namespace lowkey::jinja
