#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "jinja/arithmetic.h"
#include "jinja/value.h"

namespace lowkey::jinja {

// The tree of a template. Null pointers stand for parts that were left out.

struct Expression;
struct Statement;
/// Owns a part of the tree.
using ExpressionPtr = std::unique_ptr<Expression>;
using StatementPtr = std::unique_ptr<Statement>;
/// Statements one after another.
using Block = std::vector<StatementPtr>;

/// A number, a string, true, false or none.
struct Constant {
    Value value;
};
/// A variable.
struct Name {
    std::string name;
};
/// [a, b], or (a, b).
struct ListLiteral {
    std::vector<ExpressionPtr> items;
    bool is_tuple = false;
};
/// {key: value}
struct DictLiteral {
    std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};
/// object.name
struct Attribute {
    ExpressionPtr object;
    std::string name;
};
/// object[key]
struct Item {
    ExpressionPtr object;
    ExpressionPtr key;
};
/// object[start:stop:step]
struct Slice {
    ExpressionPtr object;
    ExpressionPtr start, stop, step;
};
/// What stands in the parentheses of a call.
struct CallArguments {
    std::vector<ExpressionPtr> positional;
    std::vector<std::pair<std::string, ExpressionPtr>> named;
    ExpressionPtr more_positional;  ///< *expression
    ExpressionPtr more_named;       ///< **expression
};
/// callee(arguments)
struct Call {
    ExpressionPtr callee;
    CallArguments arguments;
};
/// value | name(arguments)
struct Filter {
    ExpressionPtr value;  ///< null: what a filter block rendered
    std::string name;
    CallArguments arguments;
};
/// value is name(arguments)
struct Test {
    ExpressionPtr value;
    std::string name;
    CallArguments arguments;
};
/// left op right
struct Binary {
    Operator op;
    ExpressionPtr left, right;
};
/// a ~ b ~ c
struct Concatenation {
    std::vector<ExpressionPtr> parts;
};
/// Operators with one operand.
enum class UnaryOperator { kNot, kNegate, kPositive };
/// op operand
struct Unary {
    UnaryOperator op;
    ExpressionPtr operand;
};
/// left and right, left or right
struct Logical {
    bool is_and;
    ExpressionPtr left, right;
};
/// Operators of a comparison.
enum class Comparator {
    kEqual,
    kNotEqual,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kIn,
    kNotIn
};
/// first < second <= third: each with the one before it.
struct Comparison {
    ExpressionPtr first;
    std::vector<std::pair<Comparator, ExpressionPtr>> rest;
};
/// then if condition else otherwise
struct Conditional {
    ExpressionPtr condition, then, otherwise;
};

/// An expression, where it stands, and how many are inside each other below it.
struct Expression {
    std::variant<Constant, Name, ListLiteral, DictLiteral, Attribute, Item, Slice, Call, Filter,
                 Test, Binary, Concatenation, Unary, Logical, Comparison, Conditional>
        node;
    int line = 1;
    int depth = 1;
};

/// What `set` and `for` assign to: a name, `namespace.attribute`, or a tuple of targets.
struct Target {
    std::string name;
    std::string attribute;
    bool is_tuple = false;
    std::vector<Target> parts;
};

/// Text outside of tags.
struct Data {
    std::string text;
};
/// {{ value }}
struct Print {
    ExpressionPtr value;
};
/// {% if %} with its elif branches.
struct If {
    std::vector<std::pair<ExpressionPtr, Block>> branches;
    Block otherwise;
};
/// {% for target in iterable if condition %}
struct For {
    Target target;
    ExpressionPtr iterable;
    ExpressionPtr condition;
    bool recursive = false;
    Block body;
    Block otherwise;
};
/// {% set target = value %}
struct Set {
    Target target;
    ExpressionPtr value;
};
/// {% set target | filter %} body {% endset %}
struct SetBlock {
    Target target;
    ExpressionPtr filter;  ///< a Filter without value, or null
    Block body;
};
/// {% with target = value %} body {% endwith %}
struct With {
    std::vector<std::pair<Target, ExpressionPtr>> assignments;
    Block body;
};
/// Also the body of a call block, without a name.
struct Macro {
    std::string name;
    std::vector<std::pair<std::string, ExpressionPtr>> parameters;
    Block body;
    // The names that its body uses.
    bool uses_caller = false;
    bool uses_varargs = false;
    bool uses_kwargs = false;
};
/// {% call %}: a call to which the body is the macro `caller`.
struct CallBlock {
    ExpressionPtr call;
    Macro body;
};
/// {% filter name %} body {% endfilter %}
struct FilterBlock {
    ExpressionPtr filter;
    Block body;
};
/// What `generation` encloses: a scope of its own.
struct ScopeBlock {
    Block body;
};
/// {% break %} and {% continue %}, of the innermost loop.
struct Break {};
struct Continue {};

/// A statement, and where it stands.
struct Statement {
    std::variant<Data, Print, If, For, Set, SetBlock, With, Macro, CallBlock, FilterBlock,
                 ScopeBlock, Break, Continue>
        node;
    int line = 1;
};

}  // namespace lowkey::jinja
