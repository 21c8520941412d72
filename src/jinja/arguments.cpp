#include "jinja/arguments.h"

#include <fmt/format.h>

#include <algorithm>

namespace lowkey::jinja {

Value Bound::value_or(size_t place, const Value& fallback) const {
    return has(place) ? at(place) : fallback;
}

bool Bound::truthy_or(size_t place, bool fallback) const {
    return has(place) ? truthy(at(place)) : fallback;
}

int64_t Bound::integer(size_t place) const {
    if (at(place).is_undefined()) throw Failure(at(place).undefined_message());
    if (!at(place).is_integral()) wrong(place, "an integer");
    return at(place).integer();
}

int64_t Bound::integer_or(size_t place, int64_t fallback) const {
    return has(place) ? integer(place) : fallback;
}

const std::string& Bound::string(size_t place) const {
    if (!at(place).is_string()) wrong(place, "a string");
    return at(place).str();
}

std::string Bound::string_or(size_t place, const std::string& fallback) const {
    return has(place) ? string(place) : fallback;
}

void Bound::wrong(size_t place, const char* expected) const {
    throw Failure(function_ + "(): " + parameters_[place] + " must be " + expected + ", not " +
                  type_name(at(place)));
}

const Value* Arguments::find(const std::string& name) const {
    for (const auto& [other, value] : named) {
        if (other == name) return &value;
    }
    return nullptr;
}

Bound Arguments::bind(const std::string& function, std::initializer_list<const char*> names,
                      size_t required) const {
    const std::vector<const char*> parameters(names);
    if (positional.size() > parameters.size()) {
        throw Failure(function + "() takes at most " + std::to_string(parameters.size()) +
                      " arguments, " + std::to_string(positional.size()) + " were given");
    }
    std::vector<std::optional<Value>> values(parameters.size());
    std::copy(positional.begin(), positional.end(), values.begin());
    for (const auto& [name, value] : named) {
        const auto found = std::find(parameters.begin(), parameters.end(), name);
        if (found == parameters.end()) {
            throw Failure(
                fmt::format("{}() got an unexpected keyword argument '{}'", function, name));
        }
        auto& place = values[static_cast<size_t>(found - parameters.begin())];
        if (place) throw Failure(fmt::format("{}() got two values for '{}'", function, name));
        place = value;
    }
    for (size_t i = 0; i < required; ++i) {
        if (!values[i]) {
            throw Failure(function + "() misses the argument '" + parameters[i] + "'");
        }
    }
    return {function, parameters, std::move(values)};
}

void Arguments::expect_none(const std::string& function) const {
    if (!positional.empty() || !named.empty()) throw Failure(function + "() takes no arguments");
}

void Arguments::no_names(const std::string& function) const {
    if (!named.empty()) throw Failure(function + "() takes no keyword arguments");
}

}  // namespace lowkey::jinja
