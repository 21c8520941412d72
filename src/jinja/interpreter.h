#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/ast.h"
#include "jinja/runtime.h"
#include "jinja/scope.h"

namespace lowkey::jinja {

/// Renders one template, once.
class Interpreter : public Runtime {
public:
    explicit Interpreter(const Limits& limits) : Runtime(limits) {}
    ~Interpreter() override;

    /// What the template prints. Throws Failure; line() then says where.
    std::string render(const Block& block, const Dict& variables);
    /// Of the statement or expression that ran last.
    [[nodiscard]] int line() const { return line_; }

    Value call(const Value& callee, const Arguments& arguments) override;
    Value filter(const std::string& name, const Value& value, const Arguments& arguments) override;
    bool test(const std::string& name, const Value& value, const Arguments& arguments) override;
    void keep(std::shared_ptr<Object> object) override;

    /// Calls a macro that was defined in `scope`.
    Value call_macro(const Macro& macro, const std::shared_ptr<Scope>& scope,
                     const Arguments& arguments);

private:
    using ScopePtr = std::shared_ptr<Scope>;
    enum class Flow { kNext, kBreak, kContinue };
    class Inside;  // a scope, while it lasts

    // Statements: what they print goes to the end of `out`.
    Flow execute(const Block& block, std::string& out);
    Flow run(const Data& node, std::string& out);
    Flow run(const Print& node, std::string& out);
    Flow run(const If& node, std::string& out);
    Flow run(const For& node, std::string& out);
    Flow run(const Set& node, std::string& out);
    Flow run(const SetBlock& node, std::string& out);
    Flow run(const With& node, std::string& out);
    Flow run(const Macro& node, std::string& out);
    Flow run(const CallBlock& node, std::string& out);
    Flow run(const FilterBlock& node, std::string& out);
    Flow run(const ScopeBlock& node, std::string& out);
    Flow run(const Break& node, std::string& out);
    Flow run(const Continue& node, std::string& out);

    void print(std::string_view text, std::string& out);
    std::string render_inside(const Block& block);
    void loop(const For& node, const Value& iterable, int64_t depth0, std::string& out);
    void assign(const Target& target, const Value& value);
    Value macro_value(const Macro& macro);

    // Expressions.
    Value evaluate(const Expression& expression);
    Value value_of(const Constant& node) { return node.value; }
    Value value_of(const Name& node);
    Value value_of(const ListLiteral& node);
    Value value_of(const DictLiteral& node);
    Value value_of(const Attribute& node);
    Value value_of(const Item& node);
    Value value_of(const Slice& node);
    Value value_of(const Call& node);
    Value value_of(const Filter& node);
    Value value_of(const Test& node);
    Value value_of(const Binary& node);
    Value value_of(const Concatenation& node);
    Value value_of(const Unary& node);
    Value value_of(const Logical& node);
    Value value_of(const Comparison& node);
    Value value_of(const Conditional& node);

    Value filtered(const Filter& node, const Value& input);
    bool compare(Comparator comparator, const Value& a, const Value& b);
    Value optional(const ExpressionPtr& expression);
    Arguments evaluate(const CallArguments& arguments);

    ScopePtr scope_;
    int line_ = 1;
    std::vector<std::shared_ptr<Object>> kept_;
};

}  // namespace lowkey::jinja
