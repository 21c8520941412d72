#include "jinja/interpreter.h"

#include <fmt/format.h>

#include "jinja/filters.h"
#include "jinja/functions.h"
#include "jinja/loop.h"
#include "jinja/repr.h"
#include "jinja/value_tests.h"

namespace lowkey::jinja {
namespace {

constexpr int64_t kKeptObjectSteps = 16;  // what an object takes that stays until the end

/// A macro, or the body of a call block, with the scope in which it was defined.
class MacroValue : public Object {
public:
    MacroValue(const Macro& macro, std::shared_ptr<Scope> scope)
        : macro_(macro), scope_(std::move(scope)) {}
    [[nodiscard]] std::string type_name() const override { return "Macro"; }
    [[nodiscard]] std::string repr(Meter& /*meter*/) const override {
        return macro_.name.empty() ? "<Macro anonymous>"
                                   : fmt::format("<Macro {}>", string_repr(macro_.name));
    }
    [[nodiscard]] std::optional<Value> attribute(const std::string& name) override {
        if (name == "name") return Value::string(macro_.name);
        return std::nullopt;
    }
    [[nodiscard]] bool callable() const override { return true; }
    Value call(Runtime& runtime, const Arguments& arguments) override {
        return static_cast<Interpreter&>(runtime).call_macro(macro_, scope_, arguments);
    }
    void clear() override { scope_->clear(); }

private:
    const Macro& macro_;
    std::shared_ptr<Scope> scope_;
};

}  // namespace

class Interpreter::Inside {
public:
    Inside(Interpreter& interpreter, ScopePtr scope)
        : interpreter_(interpreter), outer_(std::exchange(interpreter.scope_, std::move(scope))) {}
    /// A new scope in the current one.
    explicit Inside(Interpreter& interpreter)
        : Inside(interpreter, std::make_shared<Scope>(interpreter.scope_)) {}
    ~Inside() { interpreter_.scope_ = std::move(outer_); }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

private:
    Interpreter& interpreter_;
    ScopePtr outer_;
};

Interpreter::~Interpreter() {
    // First all that refers to something, then the objects: no long chain is freed at once.
    for (const auto& object : kept_) object->clear();
}

std::string Interpreter::render(const Block& block, const Dict& variables) {
    scope_ = std::make_shared<Scope>(nullptr);
    for (const auto& [name, value] : variables.entries()) scope_->set(name.str(), value);
    const Inside inside(*this);
    std::string out;
    execute(block, out);
    return out;
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
    if (callee.is_undefined()) throw Failure(callee.undefined_message());
    if (!callee.is(Kind::kObject)) {
        throw Failure(fmt::format("'{}' object is not callable", type_name(callee)));
    }
    const std::shared_ptr<Object> object = callee.shared_object();
    return object->call(*this, arguments);
}

Value Interpreter::filter(const std::string& name, const Value& value, const Arguments& arguments) {
    const FilterCode code = find_filter(name);
    if (code == nullptr) throw Failure(fmt::format("No filter named '{}'.", name));
    const Meter::Level level(meter());
    meter().charge(1);
    return code(*this, value, arguments);
}

bool Interpreter::test(const std::string& name, const Value& value, const Arguments& arguments) {
    const ValueTest code = find_test(name);
    if (code == nullptr) throw Failure(fmt::format("No test named '{}'.", name));
    meter().charge(1);
    return code(*this, value, arguments);
}

void Interpreter::keep(std::shared_ptr<Object> object) {
    meter().charge(kKeptObjectSteps);
    kept_.push_back(std::move(object));
}

Interpreter::Flow Interpreter::execute(const Block& block, std::string& out) {
    const Meter::Level level(meter());
    for (const StatementPtr& statement : block) {
        meter().charge(1);
        line_ = statement->line;
        const Flow flow =
            std::visit([&](const auto& node) { return run(node, out); }, statement->node);
        if (flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
}

void Interpreter::print(std::string_view text, std::string& out) {
    meter().charge_text(out.size() + text.size() >
                                static_cast<size_t>(meter().limits().max_text_bytes)
                            ? out.size() + text.size()
                            : text.size());
    out += text;
}

Interpreter::Flow Interpreter::run(const Data& node, std::string& out) {
    print(node.text, out);
    return Flow::kNext;
}

Interpreter::Flow Interpreter::run(const Print& node, std::string& out) {
    print(to_text(evaluate(*node.value), meter()), out);
    return Flow::kNext;
}

Interpreter::Flow Interpreter::run(const If& node, std::string& out) {
    for (const auto& [condition, block] : node.branches) {
        if (truthy(evaluate(*condition))) return execute(block, out);
    }
    return execute(node.otherwise, out);
}

Interpreter::Flow Interpreter::run(const For& node, std::string& out) {
    loop(node, evaluate(*node.iterable), 0, out);
    return Flow::kNext;
}

void Interpreter::loop(const For& node, const Value& iterable, int64_t depth0, std::string& out) {
    const ScopePtr around = scope_;
    Loop::Condition condition;
    if (node.condition) {
        condition = [this, &node, around](const Value& item) {
            const Inside inside(*this, std::make_shared<Scope>(around));
            assign(node.target, item);
            return truthy(evaluate(*node.condition));
        };
    }
    Loop::Recursion recurse;
    if (node.recursive) {
        recurse = [this, &node, around, depth0](const Value& inner) {
            const Meter::Level level(meter());
            const Inside inside(*this, around);
            std::string text;
            loop(node, inner, depth0 + 1, text);
            return Value::string(std::move(text));
        };
    }
    const auto walk = std::make_shared<Loop>(iterate(iterable, meter()), std::move(condition),
                                             std::move(recurse), depth0);
    const Value loop_value = Value::object(walk);
    bool any = false;
    while (walk->advance()) {
        any = true;
        meter().charge(1);
        const Inside inside(*this);
        scope_->set("loop", loop_value);
        assign(node.target, walk->item());
        if (execute(node.body, out) == Flow::kBreak) return;
    }
    if (!any) {
        const Inside inside(*this);
        execute(node.otherwise, out);
    }
}

Interpreter::Flow Interpreter::run(const Set& node, std::string& /*out*/) {
    assign(node.target, evaluate(*node.value));
    return Flow::kNext;
}

void Interpreter::assign(const Target& target, const Value& value) {
    if (target.is_tuple) {
        const std::vector<Value> items = to_items(value, meter());
        if (items.size() != target.parts.size()) {
            throw Failure(
                std::string(items.size() < target.parts.size() ? "not enough" : "too many") +
                " values to unpack (expected " + std::to_string(target.parts.size()) + ")");
        }
        for (size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
    } else if (target.attribute.empty()) {
        scope_->set(target.name, value);
    } else {
        const Value* object = scope_->find(target.name);
        auto* space = object != nullptr && object->is(Kind::kObject)
                          ? dynamic_cast<Namespace*>(&object->object())
                          : nullptr;
        if (space == nullptr) throw Failure("cannot assign attribute on non-namespace object");
        space->set(target.attribute, value);
    }
}

std::string Interpreter::render_inside(const Block& block) {
    const Inside inside(*this);
    std::string out;
    execute(block, out);
    return out;
}

Interpreter::Flow Interpreter::run(const SetBlock& node, std::string& /*out*/) {
    Value value = Value::string(render_inside(node.body));
    if (node.filter) value = filtered(std::get<Filter>(node.filter->node), value);
    assign(node.target, value);
    return Flow::kNext;
}

Interpreter::Flow Interpreter::run(const With& node, std::string& out) {
    std::vector<Value> values;
    for (const auto& [target, value] : node.assignments) values.push_back(evaluate(*value));
    const Inside inside(*this);
    for (size_t i = 0; i < values.size(); ++i) assign(node.assignments[i].first, values[i]);
    return execute(node.body, out);
}

Value Interpreter::macro_value(const Macro& macro) {
    auto value = std::make_shared<MacroValue>(macro, scope_);
    keep(value);  // its scope may hold it
    return Value::object(std::move(value));
}

Interpreter::Flow Interpreter::run(const Macro& node, std::string& /*out*/) {
    scope_->set(node.name, macro_value(node));
    return Flow::kNext;
}

Value Interpreter::call_macro(const Macro& macro, const ScopePtr& scope,
                              const Arguments& arguments) {
    const Meter::Level level(meter());
    const Inside inside(*this, std::make_shared<Scope>(scope));
    const size_t count = macro.parameters.size();
    Dict more_named;
    for (const auto& [name, value] : arguments.named) {
        size_t place = 0;
        while (place < count && macro.parameters[place].first != name) ++place;
        if (place < count && place >= arguments.positional.size()) continue;
        if (place == count && name == "caller" && macro.uses_caller) continue;
        if (!macro.uses_kwargs) {
            throw Failure(
                fmt::format("macro '{}' takes no keyword argument '{}'", macro.name, name));
        }
        more_named.set(name, value);
    }
    if (arguments.positional.size() > count && !macro.uses_varargs) {
        throw Failure(
            fmt::format("macro '{}' takes not more than {} argument(s)", macro.name, count));
    }
    for (size_t i = 0; i < count; ++i) {
        const auto& [name, fallback] = macro.parameters[i];
        const Value* given =
            i < arguments.positional.size() ? &arguments.positional[i] : arguments.find(name);
        scope_->set(name, given != nullptr      ? *given
                          : fallback != nullptr ? evaluate(*fallback)
                                                : Value::undefined(fmt::format(
                                                      "parameter '{}' was not provided", name)));
    }
    if (macro.uses_varargs) {
        const auto& given = arguments.positional;
        const size_t first = std::min(count, given.size());
        scope_->set("varargs",
                    Value::tuple({given.begin() + static_cast<ptrdiff_t>(first), given.end()}));
    }
    if (macro.uses_kwargs) scope_->set("kwargs", Value::dict(std::move(more_named)));
    if (macro.uses_caller && scope_->find("caller") == nullptr) {
        scope_->set("caller", Value::undefined("No caller defined"));
    }
    if (const Value* caller = arguments.find("caller"); caller != nullptr && macro.uses_caller) {
        scope_->set("caller", *caller);
    }
    std::string out;
    execute(macro.body, out);
    return Value::string(std::move(out));
}

Interpreter::Flow Interpreter::run(const CallBlock& node, std::string& out) {
    const auto& call_node = std::get<Call>(node.call->node);
    const Value callee = evaluate(*call_node.callee);
    Arguments arguments = evaluate(call_node.arguments);
    arguments.named.emplace_back("caller", macro_value(node.body));
    print(to_text(call(callee, arguments), meter()), out);
    return Flow::kNext;
}

Interpreter::Flow Interpreter::run(const FilterBlock& node, std::string& out) {
    const Value text = Value::string(render_inside(node.body));
    print(to_text(filtered(std::get<Filter>(node.filter->node), text), meter()), out);
    return Flow::kNext;
}

Interpreter::Flow Interpreter::run(const ScopeBlock& node, std::string& out) {
    print(render_inside(node.body), out);
    return Flow::kNext;
}

Interpreter::Flow Interpreter::run(const Break& /*node*/, std::string& /*out*/) {
    return Flow::kBreak;
}
Interpreter::Flow Interpreter::run(const Continue& /*node*/, std::string& /*out*/) {
    return Flow::kContinue;
}

}  // namespace lowkey::jinja
