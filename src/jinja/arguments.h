#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace lowkey::jinja {

/// Arguments by their places among a function's parameters.
class Bound {
public:
    Bound(std::string function, std::vector<const char*> parameters,
          std::vector<std::optional<Value>> values)
        : function_(std::move(function)),
          parameters_(std::move(parameters)),
          values_(std::move(values)) {}

    /// Given.
    [[nodiscard]] bool has(size_t place) const { return values_[place].has_value(); }
    /// Given, and not None.
    [[nodiscard]] bool is_set(size_t place) const { return has(place) && !at(place).is_none(); }
    /// has(place)
    [[nodiscard]] const Value& at(size_t place) const { return *values_[place]; }
    // With a fallback for what was left out. All throw Failure for a value of another type.
    [[nodiscard]] Value value_or(size_t place, const Value& fallback) const;
    [[nodiscard]] bool truthy_or(size_t place, bool fallback) const;
    [[nodiscard]] int64_t integer(size_t place) const;
    [[nodiscard]] int64_t integer_or(size_t place, int64_t fallback) const;
    [[nodiscard]] const std::string& string(size_t place) const;
    [[nodiscard]] std::string string_or(size_t place, const std::string& fallback) const;

private:
    [[noreturn]] void wrong(size_t place, const char* expected) const;

    std::string function_;
    std::vector<const char*> parameters_;
    std::vector<std::optional<Value>> values_;
};

/// What a call passes.
class Arguments {
public:
    std::vector<Value> positional;
    std::vector<std::pair<std::string, Value>> named;

    /// The argument of this name; null when there is none.
    [[nodiscard]] const Value* find(const std::string& name) const;
    /// Matches them with parameters, of which the first `required` must be given. Throws Failure
    /// when they do not match, in the name of `function`.
    [[nodiscard]] Bound bind(const std::string& function, std::initializer_list<const char*> names,
                             size_t required = 0) const;
    /// Throws Failure when there are any.
    void expect_none(const std::string& function) const;
    /// Throws Failure when there are arguments by name.
    void no_names(const std::string& function) const;
};

}  // namespace lowkey::jinja
