#pragma once

#include <memory>
#include <string>

#include "jinja/arguments.h"
#include "jinja/value.h"

namespace lowkey::jinja {

/// What filters, tests, methods and functions may ask of the rendering that they are part of.
class Runtime {
public:
    explicit Runtime(const Limits& limits) : meter_(limits) {}
    virtual ~Runtime() = default;
    Runtime(const Runtime&) = delete;
    Runtime& operator=(const Runtime&) = delete;

    /// Counts what the rendering takes.
    [[nodiscard]] Meter& meter() { return meter_; }

    /// Calls a macro, method or function. Throws Failure for what cannot be called.
    virtual Value call(const Value& callee, const Arguments& arguments) = 0;
    /// Applies the filter or test of this name. Throws Failure when there is none.
    virtual Value filter(const std::string& name, const Value& value,
                         const Arguments& arguments) = 0;
    virtual bool test(const std::string& name, const Value& value, const Arguments& arguments) = 0;
    /// Keeps an object that may come to refer to itself, and clears it when the rendering ends.
    virtual void keep(std::shared_ptr<Object> object) = 0;

private:
    Meter meter_;
};

/// `object.name` as jinja2's sandbox resolves it: attributes and methods, then items.
Value get_attribute(const Value& object, const std::string& name, Runtime& runtime);
/// The same without the items.
Value get_own_attribute(const Value& object, const std::string& name);
/// `object[key]`: items, then attributes and methods. A slice is not a key: see slice_of().
Value get_item(const Value& object, const Value& key, Runtime& runtime);
/// `object[start:stop:step]`; parts that are None were left out.
Value slice_of(const Value& object, const Value& start, const Value& stop, const Value& step,
               Runtime& runtime);

}  // namespace lowkey::jinja
