#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/ast.h"
#include "jinja/lexer.h"

namespace lowkey::jinja {

/// Parses expressions from tokens; the parser of statements builds on it.
class ExpressionParser {
public:
    /// `tokens` end with kEnd.
    explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

protected:
    [[nodiscard]] const Token& current() const { return tokens_[pos_]; }
    [[nodiscard]] const Token& next_token() const {
        return tokens_[std::min(pos_ + 1, tokens_.size() - 1)];
    }
    const Token& advance();
    [[nodiscard]] bool at(TokenKind kind) const { return current().kind == kind; }
    [[nodiscard]] bool at_operator(std::string_view symbol) const;
    [[nodiscard]] bool at_name(std::string_view name) const;
    bool skip_operator(std::string_view symbol);
    bool skip_name(std::string_view name);
    void expect_operator(std::string_view symbol);
    void expect(TokenKind kind, const char* what);
    std::string expect_name();
    [[noreturn]] void fail(const std::string& what) const;
    [[noreturn]] void fail_unsupported(const std::string& what) const;

    /// How tuple() reads what is between its commas.
    struct TupleRules {
        bool with_conditional = true;
        bool in_parentheses = false;     ///< may be empty
        std::string_view end_name = {};  ///< a name that ends it
    };
    ExpressionPtr tuple(const TupleRules& rules);
    ExpressionPtr expression();
    ExpressionPtr or_expression();
    /// A chain of filters behind `value`, which is null in filter blocks: then the first has no |.
    ExpressionPtr filters(ExpressionPtr value, bool first_without_bar);

    /// Called for every variable that is read.
    virtual void note_name(const std::string& name) = 0;
    ~ExpressionParser() = default;

    /// One level of nesting, for its lifetime. Throws SyntaxFailure when there are too many.
    class Nested {
    public:
        explicit Nested(ExpressionParser& parser);
        ~Nested() { --parser_.nesting_; }
        Nested(const Nested&) = delete;
        Nested& operator=(const Nested&) = delete;

    private:
        ExpressionParser& parser_;
    };

private:
    /// `below`: the depth of the deepest expression in the node. Throws SyntaxFailure.
    template <typename Node>
    ExpressionPtr make(Node node, int line, int below);
    ExpressionPtr make_literal(std::vector<ExpressionPtr> items, bool is_tuple, int line);

    [[nodiscard]] bool at_tuple_end(const TupleRules& rules) const;
    ExpressionPtr conditional();
    ExpressionPtr binary(Operator op, ExpressionPtr left, ExpressionPtr right, int line);
    ExpressionPtr and_expression();
    ExpressionPtr not_expression();
    ExpressionPtr comparison();
    ExpressionPtr sum();
    ExpressionPtr concatenation();
    ExpressionPtr product();
    ExpressionPtr power();
    ExpressionPtr unary(bool with_filters);
    ExpressionPtr primary();
    ExpressionPtr named();
    ExpressionPtr list();
    ExpressionPtr dict();
    ExpressionPtr postfix(ExpressionPtr value);
    ExpressionPtr filters_and_tests(ExpressionPtr value);
    ExpressionPtr member(ExpressionPtr value);
    ExpressionPtr subscript(ExpressionPtr value);
    ExpressionPtr slice(ExpressionPtr value, ExpressionPtr start, int line);
    ExpressionPtr call(ExpressionPtr callee);
    ExpressionPtr filter(ExpressionPtr value);
    ExpressionPtr test(ExpressionPtr value);
    CallArguments arguments(int& depth);
    std::string dotted_name();

    std::vector<Token> tokens_;
    size_t pos_ = 0;
    int nesting_ = 0;
};

}  // namespace lowkey::jinja
