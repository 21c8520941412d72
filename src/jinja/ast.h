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
using ExpressionPtr = std::unique_ptr<Expression>;
using StatementPtr = std::unique_ptr<Statement>;
using Block = std::vector<StatementPtr>;

struct Constant {
    Value value;
};
struct Name {
    std::string name;
};
struct ListLiteral {
    std::vector<ExpressionPtr> items;
    bool is_tuple = false;
};
struct DictLiteral {
    std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};
struct Attribute {
    ExpressionPtr object;
    std::string name;
};
struct Item {
    ExpressionPtr object;
    ExpressionPtr key;
};
struct Slice {
    ExpressionPtr object;
    ExpressionPtr start, stop, step;
};
struct CallArguments {
    std::vector<ExpressionPtr> positional;
    std::vector<std::pair<std::string, ExpressionPtr>> named;
    ExpressionPtr more_positional;  ///< *expression
    ExpressionPtr more_named;       ///< **expression
};
struct Call {
    ExpressionPtr callee;
    CallArguments arguments;
};
struct Filter {
    ExpressionPtr value;  ///< null: what a filter block rendered
    std::string name;
    CallArguments arguments;
};
struct Test {
    ExpressionPtr value;
    std::string name;
    CallArguments arguments;
};
struct Binary {
    Operator op;
    ExpressionPtr left, right;
};
struct Concatenation {
    std::vector<ExpressionPtr> parts;  ///< a ~ b ~ c
};
enum class UnaryOperator { kNot, kNegate, kPositive };
struct Unary {
    UnaryOperator op;
    ExpressionPtr operand;
};
struct Logical {
    bool is_and;
    ExpressionPtr left, right;
};
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
struct Comparison {
    ExpressionPtr first;
    std::vector<std::pair<Comparator, ExpressionPtr>> rest;
};
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

struct Data {
    std::string text;
};
struct Print {
    ExpressionPtr value;
};
struct If {
    std::vector<std::pair<ExpressionPtr, Block>> branches;
    Block otherwise;
};
struct For {
    Target target;
    ExpressionPtr iterable;
    ExpressionPtr condition;
    bool recursive = false;
    Block body;
    Block otherwise;
};
struct Set {
    Target target;
    ExpressionPtr value;
};
struct SetBlock {
    Target target;
    ExpressionPtr filter;  ///< a Filter without value, or null
    Block body;
};
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
struct CallBlock {
    ExpressionPtr call;
    Macro body;
};
struct FilterBlock {
    ExpressionPtr filter;
    Block body;
};
/// What `generation` encloses: a scope of its own.
struct ScopeBlock {
    Block body;
};
struct Break {};
struct Continue {};

struct Statement {
    std::variant<Data, Print, If, For, Set, SetBlock, With, Macro, CallBlock, FilterBlock,
                 ScopeBlock, Break, Continue>
        node;
    int line = 1;
};

}  // namespace lowkey::jinja
