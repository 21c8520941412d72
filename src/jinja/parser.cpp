#include "jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "jinja/expression_parser.h"

namespace lowkey::jinja {
namespace {

constexpr std::array<const char*, 7> kUnsupported = {"block", "extends", "include",   "import",
                                                     "from",  "do",      "autoescape"};

class Parser : private ExpressionParser {
public:
    using ExpressionParser::ExpressionParser;
    virtual ~Parser() = default;

    Block run() {
        Block block = statements({});
        if (!at(TokenKind::kEnd)) fail_unknown_tag();
        return block;
    }

private:
    using Ends = std::initializer_list<const char*>;

    void note_name(const std::string& name) override {
        for (Macro* macro : macros_) {
            macro->uses_caller |= name == "caller";
            macro->uses_varargs |= name == "varargs";
            macro->uses_kwargs |= name == "kwargs";
        }
    }

    template <typename Node>
    static StatementPtr make(Node node, int line) {
        auto out = std::make_unique<Statement>();
        out->node = std::move(node);
        out->line = line;
        return out;
    }

    /// Statements up to a tag that is one of `ends`, whose name becomes the current token; without
    /// ends, up to the end of the template.
    Block statements(Ends ends) {
        const Nested nested(*this);
        Block out;
        while (!at(TokenKind::kEnd)) {
            const int line = current().line;
            if (at(TokenKind::kData)) {
                out.push_back(make(Data{advance().text}, line));
            } else if (at(TokenKind::kPrintBegin)) {
                advance();
                ExpressionPtr value = tuple({});
                expect(TokenKind::kPrintEnd, "end of print statement");
                out.push_back(make(Print{std::move(value)}, line));
            } else {
                expect(TokenKind::kBlockBegin, "begin of statement block");
                const auto at_end = [&](const char* end) { return at_name(end); };
                if (std::any_of(ends.begin(), ends.end(), at_end)) return out;
                statement(out);
                expect(TokenKind::kBlockEnd, "end of statement block");
            }
        }
        if (ends.size() > 0)
            fail(std::string("unexpected end of template, expected ") + *ends.begin());
        return out;
    }

    /// The rest of a tag and the statements behind it.
    Block body(Ends ends) {
        skip_operator(":");
        expect(TokenKind::kBlockEnd, "end of statement block");
        return statements(ends);
    }
    Block body_until(const char* end) {
        Block out = body({end});
        advance();
        return out;
    }

    void statement(Block& out) {
        const int line = current().line;
        if (!at(TokenKind::kName)) fail("tag name expected");
        const std::string tag = current().text;
        if (tag == "print") return print(out);
        StatementPtr parsed = tag == "if"           ? parse_if()
                              : tag == "for"        ? parse_for()
                              : tag == "set"        ? parse_set()
                              : tag == "with"       ? parse_with()
                              : tag == "macro"      ? parse_macro()
                              : tag == "call"       ? parse_call()
                              : tag == "filter"     ? parse_filter_block()
                              : tag == "generation" ? parse_generation()
                              : tag == "break"      ? parse_jump(Break{})
                              : tag == "continue"   ? parse_jump(Continue{})
                                                    : nullptr;
        if (parsed == nullptr) fail_unknown_tag();
        parsed->line = line;
        out.push_back(std::move(parsed));
    }

    [[noreturn]] void fail_unknown_tag() {
        const std::string tag = current().text;
        if (std::find(kUnsupported.begin(), kUnsupported.end(), tag) != kUnsupported.end()) {
            fail_unsupported(fmt::format("the tag '{}'", tag));
        }
        fail(fmt::format("unknown tag '{}'", tag));
    }

    template <typename Jump>
    StatementPtr parse_jump(Jump jump) {
        if (loops_ == 0) fail(fmt::format("'{}' outside of a loop", current().text));
        return make(jump, advance().line);
    }

    void print(Block& out) {
        const int line = advance().line;
        bool first = true;
        while (!at(TokenKind::kBlockEnd)) {
            if (!first) expect_operator(",");
            first = false;
            out.push_back(make(Print{expression()}, line));
        }
    }

    StatementPtr parse_if() {
        If node;
        const int line = current().line;
        do {
            advance();
            ExpressionPtr condition = tuple({.with_conditional = false});
            node.branches.emplace_back(std::move(condition), body({"endif", "elif", "else"}));
        } while (at_name("elif"));
        if (at_name("else")) {
            advance();
            node.otherwise = body({"endif"});
        }
        advance();
        return make(std::move(node), line);
    }

    StatementPtr parse_for() {
        For node;
        const int line = advance().line;
        node.target = targets("in");
        if (!skip_name("in")) fail(fmt::format("expected 'in', got '{}'", describe(current())));
        node.iterable = tuple({.with_conditional = false, .end_name = "recursive"});
        if (skip_name("if")) node.condition = expression();
        node.recursive = skip_name("recursive");
        ++loops_;
        node.body = body({"endfor", "else"});
        --loops_;
        if (at_name("else")) {
            advance();
            node.otherwise = body({"endfor"});
        }
        advance();
        return make(std::move(node), line);
    }

    StatementPtr parse_set() {
        const int line = advance().line;
        Target target = targets("");
        if (skip_operator("=")) return make(Set{std::move(target), tuple({})}, line);
        SetBlock node;
        node.target = std::move(target);
        if (at_operator("|")) node.filter = filters(nullptr, false);
        node.body = body_until("endset");
        return make(std::move(node), line);
    }

    StatementPtr parse_with() {
        With node;
        const int line = advance().line;
        while (!at(TokenKind::kBlockEnd)) {
            if (!node.assignments.empty()) expect_operator(",");
            Target target;
            target.name = assignable_name();
            expect_operator("=");
            node.assignments.emplace_back(std::move(target), expression());
        }
        node.body = body_until("endwith");
        return make(std::move(node), line);
    }

    void parameters(Macro& macro) {
        expect_operator("(");
        while (!at_operator(")")) {
            if (!macro.parameters.empty()) expect_operator(",");
            std::string name = assignable_name();
            ExpressionPtr fallback = skip_operator("=") ? expression() : nullptr;
            const bool after_default =
                !macro.parameters.empty() && macro.parameters.back().second != nullptr;
            if (fallback == nullptr && after_default) {
                fail("non-default argument follows default argument");
            }
            macro.parameters.emplace_back(std::move(name), std::move(fallback));
        }
        expect_operator(")");
    }

    // Loops around a macro are not around its body.
    void macro_body(Macro& macro, const char* end) {
        const int loops = std::exchange(loops_, 0);
        macros_.push_back(&macro);
        macro.body = body_until(end);
        macros_.pop_back();
        loops_ = loops;
    }

    StatementPtr parse_macro() {
        const int line = advance().line;
        StatementPtr out = make(Macro{}, line);
        auto& node = std::get<Macro>(out->node);
        node.name = assignable_name();
        parameters(node);
        macro_body(node, "endmacro");
        return out;
    }

    StatementPtr parse_call() {
        const int line = advance().line;
        StatementPtr out = make(CallBlock{}, line);
        auto& node = std::get<CallBlock>(out->node);
        if (at_operator("(")) parameters(node.body);
        node.call = expression();
        if (!std::holds_alternative<Call>(node.call->node)) fail("expected a call");
        macro_body(node.body, "endcall");
        return out;
    }

    StatementPtr parse_filter_block() {
        FilterBlock node;
        const int line = advance().line;
        node.filter = filters(nullptr, true);
        node.body = body_until("endfilter");
        return make(std::move(node), line);
    }

    StatementPtr parse_generation() {
        const int line = advance().line;
        const int loops = std::exchange(loops_, 0);
        ScopeBlock node{body_until("endgeneration")};
        loops_ = loops;
        return make(std::move(node), line);
    }

    std::string assignable_name() {
        std::string name = expect_name();
        for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
            if (name == constant) fail(fmt::format("can't assign to '{}'", name));
        }
        return name;
    }

    /// Targets up to the name `end`; attributes only where `set` has them, which ends at nothing.
    Target targets(std::string_view end) {
        Target out;
        for (;;) {
            out.parts.push_back(target(end.empty()));
            if (!skip_operator(",")) break;
            out.is_tuple = true;
            if (at_operator("=") || at(TokenKind::kBlockEnd) || at_operator(")") ||
                (!end.empty() && at_name(end))) {
                break;
            }
        }
        if (out.is_tuple) return out;
        Target only = std::move(out.parts.front());
        return only;
    }

    Target target(bool with_attributes) {
        const Nested nested(*this);
        if (skip_operator("(")) {
            Target inner = targets(with_attributes ? "" : "in");
            expect_operator(")");
            return inner;
        }
        Target out;
        out.name = assignable_name();
        if (with_attributes && skip_operator(".")) out.attribute = expect_name();
        return out;
    }

    int loops_ = 0;
    std::vector<Macro*> macros_;
};

}  // namespace

Block parse(std::string_view source) { return Parser(tokenize(source)).run(); }

}  // namespace lowkey::jinja
