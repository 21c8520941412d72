#pragma once

#include <string>

#include "jinja/arguments.h"
#include "jinja/runtime.h"

namespace lowkey::jinja {

/// What `namespace()` makes: a template's only variable that loops and macros can change.
class Namespace : public Object {
public:
    explicit Namespace(Dict attributes) : attributes_(std::move(attributes)) {}
    [[nodiscard]] std::string type_name() const override { return "Namespace"; }
    [[nodiscard]] std::string repr(Meter& meter) const override;
    [[nodiscard]] std::optional<Value> attribute(const std::string& name) override;
    void clear() override { attributes_ = {}; }
    /// Throws Failure for names that begin with an underscore, as transformers does.
    void set(const std::string& name, Value value);

private:
    Dict attributes_;
};

/// The functions that templates find beside their variables: range, dict, namespace, cycler,
/// joiner, raise_exception, strftime_now. Null when there is none of this name.
const Value* find_function(const std::string& name);

}  // namespace lowkey::jinja
