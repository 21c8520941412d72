// The interpreter's expressions.
#include <fmt/format.h>

#include "jinja/arithmetic.h"
#include "jinja/compare.h"
#include "jinja/functions.h"
#include "jinja/interpreter.h"
#include "jinja/repr.h"

namespace lowkey::jinja {

Value Interpreter::evaluate(const Expression& expression) {
    const Meter::Level level(meter());
    meter().charge(1);
    const int outer_line = std::exchange(line_, expression.line);
    Value value = std::visit([&](const auto& node) { return value_of(node); }, expression.node);
    line_ = outer_line;
    return value;
}

Value Interpreter::optional(const ExpressionPtr& expression) {
    return expression ? evaluate(*expression) : Value::none();
}

Value Interpreter::value_of(const Name& node) {
    if (const Value* variable = scope_->find(node.name)) return *variable;
    if (const Value* function = find_function(node.name)) return *function;
    return Value::undefined(fmt::format("'{}' is undefined", node.name));
}

Value Interpreter::value_of(const ListLiteral& node) {
    std::vector<Value> items;
    items.reserve(node.items.size());
    for (const ExpressionPtr& item : node.items) items.push_back(evaluate(*item));
    return node.is_tuple ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

Value Interpreter::value_of(const DictLiteral& node) {
    Dict dict;
    for (const auto& [key_node, value_node] : node.entries) {
        const Value key = evaluate(*key_node);
        dict.set(key, evaluate(*value_node), meter());
        meter().charge(4);
    }
    return Value::dict(std::move(dict));
}

Value Interpreter::value_of(const Attribute& node) {
    return get_attribute(evaluate(*node.object), node.name, *this);
}

Value Interpreter::value_of(const Item& node) {
    const Value object = evaluate(*node.object);
    return get_item(object, evaluate(*node.key), *this);
}

Value Interpreter::value_of(const Slice& node) {
    const Value object = evaluate(*node.object);
    const Value start = optional(node.start);
    const Value stop = optional(node.stop);
    return slice_of(object, start, stop, optional(node.step), *this);
}

Arguments Interpreter::evaluate(const CallArguments& arguments) {
    Arguments out;
    for (const ExpressionPtr& argument : arguments.positional) {
        out.positional.push_back(evaluate(*argument));
    }
    for (const auto& [name, argument] : arguments.named) {
        out.named.emplace_back(name, evaluate(*argument));
    }
    if (arguments.more_positional) {
        for (Value& item : to_items(evaluate(*arguments.more_positional), meter())) {
            out.positional.push_back(std::move(item));
        }
    }
    if (arguments.more_named) {
        const Value more = evaluate(*arguments.more_named);
        if (!more.is(Kind::kDict)) throw Failure("argument after ** must be a mapping");
        meter().charge(static_cast<int64_t>(more.dict().size()));
        for (const auto& [key, value] : more.dict().entries()) {
            if (!key.is_string()) throw Failure("keywords must be strings");
            out.named.emplace_back(key.str(), value);
        }
    }
    return out;
}

Value Interpreter::value_of(const Call& node) {
    const Value callee = evaluate(*node.callee);
    const Arguments arguments = evaluate(node.arguments);
    return call(callee, arguments);
}

Value Interpreter::value_of(const Filter& node) {
    const Value value = evaluate(*node.value);
    return filter(node.name, value, evaluate(node.arguments));
}

// The first filter of a block's chain has no value of its own: it gets what the block rendered.
Value Interpreter::filtered(const Filter& node, const Value& input) {
    const Value value = node.value ? filtered(std::get<Filter>(node.value->node), input) : input;
    return filter(node.name, value, evaluate(node.arguments));
}

Value Interpreter::value_of(const Test& node) {
    const Value value = evaluate(*node.value);
    return Value::boolean(test(node.name, value, evaluate(node.arguments)));
}

Value Interpreter::value_of(const Binary& node) {
    const Value left = evaluate(*node.left);
    return apply(node.op, left, evaluate(*node.right), *this);
}

Value Interpreter::value_of(const Concatenation& node) {
    std::string out;
    for (const ExpressionPtr& part : node.parts) print(to_text(evaluate(*part), meter()), out);
    return Value::string(std::move(out));
}

Value Interpreter::value_of(const Unary& node) {
    const Value operand = evaluate(*node.operand);
    switch (node.op) {
        case UnaryOperator::kNot:
            return Value::boolean(!truthy(operand));
        case UnaryOperator::kNegate:
            return negate(operand);
        case UnaryOperator::kPositive:
            return positive(operand);
    }
    return {};
}

Value Interpreter::value_of(const Logical& node) {
    Value left = evaluate(*node.left);
    return truthy(left) == node.is_and ? evaluate(*node.right) : left;
}

bool Interpreter::compare(Comparator comparator, const Value& a, const Value& b) {
    switch (comparator) {
        case Comparator::kEqual:
            return equals(a, b, meter());
        case Comparator::kNotEqual:
            return !equals(a, b, meter());
        case Comparator::kLess:
            return less(a, b, meter());
        case Comparator::kLessEqual:
            return less_equal(a, b, meter());
        case Comparator::kGreater:
            return less(b, a, meter());
        case Comparator::kGreaterEqual:
            return less_equal(b, a, meter());
        case Comparator::kIn:
            return contains(b, a, meter());
        case Comparator::kNotIn:
            return !contains(b, a, meter());
    }
    return false;
}

Value Interpreter::value_of(const Comparison& node) {
    Value left = evaluate(*node.first);
    for (const auto& [comparator, right_node] : node.rest) {
        Value right = evaluate(*right_node);
        if (!compare(comparator, left, right)) return Value::boolean(false);
        left = std::move(right);
    }
    return Value::boolean(true);
}

Value Interpreter::value_of(const Conditional& node) {
    if (truthy(evaluate(*node.condition))) return evaluate(*node.then);
    if (node.otherwise) return evaluate(*node.otherwise);
    return Value::undefined(
        "the inline if-expression evaluated to false and no else section was defined.");
}

}  // namespace lowkey::jinja
