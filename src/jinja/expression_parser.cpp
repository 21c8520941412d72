#include "jinja/expression_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace lowkey::jinja {
namespace {

// Of the parser, and of the tree: an operator chain makes the tree deep, but not the parser.
constexpr int kMaxNested = 300;
constexpr int kMaxDepth = 400;

std::optional<Comparator> comparator(const Token& token) {
    if (token.kind != TokenKind::kOperator) return std::nullopt;
    if (token.text == "==") return Comparator::kEqual;
    if (token.text == "!=") return Comparator::kNotEqual;
    if (token.text == "<") return Comparator::kLess;
    if (token.text == "<=") return Comparator::kLessEqual;
    if (token.text == ">") return Comparator::kGreater;
    if (token.text == ">=") return Comparator::kGreaterEqual;
    return std::nullopt;
}

int deepest(std::initializer_list<const Expression*> expressions) {
    int depth = 0;
    for (const Expression* expression : expressions) {
        if (expression != nullptr) depth = std::max(depth, expression->depth);
    }
    return depth;
}

/// The operator at `token` when it is one of those, which are parallel to `operators`.
std::optional<Operator> operator_of(const Token& token, std::initializer_list<const char*> symbols,
                                    std::initializer_list<Operator> operators) {
    if (token.kind != TokenKind::kOperator) return std::nullopt;
    const auto found = std::find(symbols.begin(), symbols.end(), token.text);
    if (found == symbols.end()) return std::nullopt;
    return operators.begin()[found - symbols.begin()];
}

}  // namespace

ExpressionParser::Nested::Nested(ExpressionParser& parser) : parser_(parser) {
    if (parser_.nesting_ >= kMaxNested) {
        parser_.fail(fmt::format("nested deeper than {} levels", kMaxNested));
    }
    ++parser_.nesting_;
}

const Token& ExpressionParser::advance() {
    const Token& token = current();
    if (pos_ + 1 < tokens_.size()) ++pos_;
    return token;
}

bool ExpressionParser::at_operator(std::string_view symbol) const {
    return at(TokenKind::kOperator) && current().text == symbol;
}

bool ExpressionParser::at_name(std::string_view name) const {
    return at(TokenKind::kName) && current().text == name;
}

bool ExpressionParser::skip_operator(std::string_view symbol) {
    if (!at_operator(symbol)) return false;
    advance();
    return true;
}

bool ExpressionParser::skip_name(std::string_view name) {
    if (!at_name(name)) return false;
    advance();
    return true;
}

void ExpressionParser::expect_operator(std::string_view symbol) {
    if (!skip_operator(symbol)) {
        fail(fmt::format("expected '{}', got '{}'", std::string(symbol), describe(current())));
    }
}

void ExpressionParser::expect(TokenKind kind, const char* what) {
    if (!at(kind)) fail(std::string("expected ") + what + ", got '" + describe(current()) + "'");
    advance();
}

std::string ExpressionParser::expect_name() {
    if (!at(TokenKind::kName)) fail(fmt::format("expected a name, got '{}'", describe(current())));
    return advance().text;
}

void ExpressionParser::fail(const std::string& what) const {
    throw SyntaxFailure{what, current().line};
}

void ExpressionParser::fail_unsupported(const std::string& what) const {
    throw SyntaxFailure{what, current().line, true};
}

template <typename Node>
ExpressionPtr ExpressionParser::make(Node node, int line, int below) {
    if (below >= kMaxDepth) {
        fail(fmt::format("an expression nested deeper than {} levels", kMaxDepth));
    }
    auto out = std::make_unique<Expression>();
    out->node = std::move(node);
    out->line = line;
    out->depth = below + 1;
    return out;
}

ExpressionPtr ExpressionParser::make_literal(std::vector<ExpressionPtr> items, bool is_tuple,
                                             int line) {
    int below = 0;
    for (const ExpressionPtr& item : items) below = std::max(below, item->depth);
    return make(ListLiteral{std::move(items), is_tuple}, line, below);
}

ExpressionPtr ExpressionParser::binary(Operator op, ExpressionPtr left, ExpressionPtr right,
                                       int line) {
    const int below = deepest({left.get(), right.get()});
    return make(Binary{op, std::move(left), std::move(right)}, line, below);
}

bool ExpressionParser::at_tuple_end(const TupleRules& rules) const {
    if (at(TokenKind::kPrintEnd) || at(TokenKind::kBlockEnd) || at_operator(")")) return true;
    return !rules.end_name.empty() && at_name(rules.end_name);
}

ExpressionPtr ExpressionParser::tuple(const TupleRules& rules) {
    const Nested nested(*this);
    const int line = current().line;
    std::vector<ExpressionPtr> items;
    bool is_tuple = false;
    for (;;) {
        if (!items.empty()) expect_operator(",");
        if (at_tuple_end(rules)) break;
        items.push_back(rules.with_conditional ? expression() : or_expression());
        if (!at_operator(",")) break;
        is_tuple = true;
    }
    if (!is_tuple && items.size() == 1) return std::move(items.front());
    if (items.empty() && !rules.in_parentheses) {
        fail(fmt::format("expected an expression, got '{}'", describe(current())));
    }
    return make_literal(std::move(items), true, line);
}

ExpressionPtr ExpressionParser::expression() {
    const Nested nested(*this);
    return conditional();
}

ExpressionPtr ExpressionParser::conditional() {
    ExpressionPtr value = or_expression();
    while (at_name("if")) {
        const int line = advance().line;
        ExpressionPtr condition = or_expression();
        ExpressionPtr otherwise = skip_name("else") ? expression() : nullptr;
        const int below = deepest({value.get(), condition.get(), otherwise.get()});
        value = make(Conditional{std::move(condition), std::move(value), std::move(otherwise)},
                     line, below);
    }
    return value;
}

ExpressionPtr ExpressionParser::or_expression() {
    ExpressionPtr left = and_expression();
    while (at_name("or")) {
        const int line = advance().line;
        ExpressionPtr right = and_expression();
        const int below = deepest({left.get(), right.get()});
        left = make(Logical{false, std::move(left), std::move(right)}, line, below);
    }
    return left;
}

ExpressionPtr ExpressionParser::and_expression() {
    ExpressionPtr left = not_expression();
    while (at_name("and")) {
        const int line = advance().line;
        ExpressionPtr right = not_expression();
        const int below = deepest({left.get(), right.get()});
        left = make(Logical{true, std::move(left), std::move(right)}, line, below);
    }
    return left;
}

ExpressionPtr ExpressionParser::not_expression() {
    if (!at_name("not")) return comparison();
    const Nested nested(*this);
    const int line = advance().line;
    ExpressionPtr operand = not_expression();
    const int below = operand->depth;
    return make(Unary{UnaryOperator::kNot, std::move(operand)}, line, below);
}

ExpressionPtr ExpressionParser::comparison() {
    const int line = current().line;
    ExpressionPtr first = sum();
    int below = first->depth;
    std::vector<std::pair<Comparator, ExpressionPtr>> rest;
    for (;;) {
        auto op = comparator(current());
        if (op) {
            advance();
        } else if (skip_name("in")) {
            op = Comparator::kIn;
        } else if (at_name("not") && next_token().kind == TokenKind::kName &&
                   next_token().text == "in") {
            advance();
            advance();
            op = Comparator::kNotIn;
        } else {
            break;
        }
        rest.emplace_back(*op, sum());
        below = std::max(below, rest.back().second->depth);
    }
    if (rest.empty()) return first;
    return make(Comparison{std::move(first), std::move(rest)}, line, below);
}

ExpressionPtr ExpressionParser::sum() {
    ExpressionPtr left = concatenation();
    while (const auto op =
               operator_of(current(), {"+", "-"}, {Operator::kAdd, Operator::kSubtract})) {
        const int line = advance().line;
        ExpressionPtr right = concatenation();
        left = binary(*op, std::move(left), std::move(right), line);
    }
    return left;
}

ExpressionPtr ExpressionParser::concatenation() {
    const int line = current().line;
    std::vector<ExpressionPtr> parts;
    parts.push_back(product());
    while (skip_operator("~")) parts.push_back(product());
    if (parts.size() == 1) return std::move(parts.front());
    int below = 0;
    for (const ExpressionPtr& part : parts) below = std::max(below, part->depth);
    return make(Concatenation{std::move(parts)}, line, below);
}

ExpressionPtr ExpressionParser::product() {
    ExpressionPtr left = power();
    while (const auto op = operator_of(current(), {"*", "/", "//", "%"},
                                       {Operator::kMultiply, Operator::kDivide,
                                        Operator::kFloorDivide, Operator::kModulo})) {
        const int line = advance().line;
        ExpressionPtr right = power();
        left = binary(*op, std::move(left), std::move(right), line);
    }
    return left;
}

ExpressionPtr ExpressionParser::power() {
    ExpressionPtr left = unary(true);
    while (at_operator("**")) {
        const int line = advance().line;
        ExpressionPtr right = unary(true);
        left = binary(Operator::kPower, std::move(left), std::move(right), line);
    }
    return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
    const Nested nested(*this);
    ExpressionPtr value;
    if (at_operator("-") || at_operator("+")) {
        const auto op = at_operator("-") ? UnaryOperator::kNegate : UnaryOperator::kPositive;
        const int line = advance().line;
        ExpressionPtr operand = unary(false);
        const int below = operand->depth;
        value = make(Unary{op, std::move(operand)}, line, below);
    } else {
        value = primary();
    }
    value = postfix(std::move(value));
    return with_filters ? filters_and_tests(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::primary() {
    const int line = current().line;
    switch (current().kind) {
        case TokenKind::kName:
            return named();
        case TokenKind::kString: {
            std::string text;
            while (at(TokenKind::kString)) text += advance().text;
            return make(Constant{Value::string(std::move(text))}, line, 0);
        }
        case TokenKind::kInteger:
            return make(Constant{Value::integer(advance().integer)}, line, 0);
        case TokenKind::kFloat:
            return make(Constant{Value::real(advance().real)}, line, 0);
        default:
            break;
    }
    if (skip_operator("(")) {
        ExpressionPtr inside = tuple({.in_parentheses = true});
        expect_operator(")");
        return inside;
    }
    if (skip_operator("[")) return list();
    if (skip_operator("{")) return dict();
    fail(fmt::format("unexpected '{}'", describe(current())));
}

ExpressionPtr ExpressionParser::named() {
    const int line = current().line;
    const std::string name = advance().text;
    if (name == "true" || name == "True") return make(Constant{Value::boolean(true)}, line, 0);
    if (name == "false" || name == "False") return make(Constant{Value::boolean(false)}, line, 0);
    if (name == "none" || name == "None") return make(Constant{Value::none()}, line, 0);
    note_name(name);
    return make(Name{name}, line, 0);
}

ExpressionPtr ExpressionParser::list() {
    const int line = current().line;
    std::vector<ExpressionPtr> items;
    while (!at_operator("]")) {
        if (!items.empty()) expect_operator(",");
        if (at_operator("]")) break;
        items.push_back(expression());
    }
    expect_operator("]");
    return make_literal(std::move(items), false, line);
}

ExpressionPtr ExpressionParser::dict() {
    const int line = current().line;
    int below = 0;
    DictLiteral literal;
    while (!at_operator("}")) {
        if (!literal.entries.empty()) expect_operator(",");
        if (at_operator("}")) break;
        ExpressionPtr key = expression();
        expect_operator(":");
        ExpressionPtr value = expression();
        below = std::max(below, deepest({key.get(), value.get()}));
        literal.entries.emplace_back(std::move(key), std::move(value));
    }
    expect_operator("}");
    return make(std::move(literal), line, below);
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr value) {
    for (;;) {
        if (at_operator(".")) {
            value = member(std::move(value));
        } else if (at_operator("[")) {
            value = subscript(std::move(value));
        } else if (at_operator("(")) {
            value = call(std::move(value));
        } else {
            return value;
        }
    }
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr value) {
    for (;;) {
        if (at_operator("|")) {
            value = filters(std::move(value), false);
        } else if (at_name("is")) {
            value = test(std::move(value));
        } else if (at_operator("(")) {
            value = call(std::move(value));
        } else {
            return value;
        }
    }
}

ExpressionPtr ExpressionParser::member(ExpressionPtr value) {
    const int line = advance().line;  // the dot
    const int below = value->depth;
    if (at(TokenKind::kInteger)) {
        ExpressionPtr key = make(Constant{Value::integer(advance().integer)}, line, 0);
        return make(Item{std::move(value), std::move(key)}, line, below);
    }
    return make(Attribute{std::move(value), expect_name()}, line, below);
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr value) {
    const Nested nested(*this);
    const int line = advance().line;  // the bracket
    if (at_operator(":")) return slice(std::move(value), nullptr, line);
    std::vector<ExpressionPtr> keys;
    while (!at_operator("]")) {
        if (!keys.empty()) expect_operator(",");
        keys.push_back(expression());
        if (at_operator(":")) {
            if (keys.size() > 1) fail_unsupported("slices in more than one dimension");
            return slice(std::move(value), std::move(keys.front()), line);
        }
    }
    expect_operator("]");
    ExpressionPtr key =
        keys.size() == 1 ? std::move(keys.front()) : make_literal(std::move(keys), true, line);
    const int below = deepest({value.get(), key.get()});
    return make(Item{std::move(value), std::move(key)}, line, below);
}

ExpressionPtr ExpressionParser::slice(ExpressionPtr value, ExpressionPtr start, int line) {
    expect_operator(":");
    const auto part = [&]() -> ExpressionPtr {
        return at_operator(":") || at_operator("]") ? nullptr : expression();
    };
    ExpressionPtr stop = part();
    ExpressionPtr step = skip_operator(":") ? part() : nullptr;
    if (at_operator(",")) fail_unsupported("slices in more than one dimension");
    expect_operator("]");
    const int below = deepest({value.get(), start.get(), stop.get(), step.get()});
    return make(Slice{std::move(value), std::move(start), std::move(stop), std::move(step)}, line,
                below);
}

CallArguments ExpressionParser::arguments(int& depth) {
    expect_operator("(");
    CallArguments out;
    const auto read = [&] {
        ExpressionPtr argument = expression();
        depth = std::max(depth, argument->depth);
        return argument;
    };
    bool first = true;
    while (!at_operator(")")) {
        if (!first) expect_operator(",");
        first = false;
        if (at_operator(")")) break;
        const bool is_named = at(TokenKind::kName) && next_token().kind == TokenKind::kOperator &&
                              next_token().text == "=";
        const bool may_be_plain = !out.more_positional && !out.more_named && out.named.empty();
        if (at_operator("*") && !out.more_positional && !out.more_named) {
            advance();
            out.more_positional = read();
        } else if (at_operator("**") && !out.more_named) {
            advance();
            out.more_named = read();
        } else if (is_named && !out.more_named) {
            const std::string name = advance().text;
            advance();
            out.named.emplace_back(name, read());
        } else if (!is_named && may_be_plain) {
            out.positional.push_back(read());
        } else {
            fail("invalid syntax for function call expression");
        }
    }
    expect_operator(")");
    return out;
}

ExpressionPtr ExpressionParser::call(ExpressionPtr callee) {
    const int line = current().line;
    int below = callee->depth;
    CallArguments given = arguments(below);
    return make(Call{std::move(callee), std::move(given)}, line, below);
}

std::string ExpressionParser::dotted_name() {
    std::string name = expect_name();
    while (skip_operator(".")) name.append(".").append(expect_name());
    return name;
}

ExpressionPtr ExpressionParser::filters(ExpressionPtr value, bool first_without_bar) {
    if (first_without_bar) value = filter(std::move(value));
    while (skip_operator("|")) value = filter(std::move(value));
    return value;
}

ExpressionPtr ExpressionParser::filter(ExpressionPtr value) {
    const int line = current().line;
    std::string name = dotted_name();
    int below = deepest({value.get()});
    CallArguments given;
    if (at_operator("(")) given = arguments(below);
    return make(Filter{std::move(value), std::move(name), std::move(given)}, line, below);
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
    const int line = advance().line;  // is
    const bool negated = skip_name("not");
    std::string name = dotted_name();
    int below = value->depth;
    CallArguments given;
    const bool at_value = at(TokenKind::kName) || at(TokenKind::kString) ||
                          at(TokenKind::kInteger) || at(TokenKind::kFloat) || at_operator("[") ||
                          at_operator("{");
    if (at_operator("(")) {
        given = arguments(below);
    } else if (at_value && !at_name("else") && !at_name("or") && !at_name("and")) {
        if (at_name("is")) fail("You cannot chain multiple tests with is");
        given.positional.push_back(postfix(primary()));
        below = std::max(below, given.positional.back()->depth);
    }
    ExpressionPtr out =
        make(Test{std::move(value), std::move(name), std::move(given)}, line, below);
    if (!negated) return out;
    below = out->depth;
    return make(Unary{UnaryOperator::kNot, std::move(out)}, line, below);
}

}  // namespace lowkey::jinja
