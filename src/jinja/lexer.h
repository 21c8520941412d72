#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lowkey::jinja {

/// What a token is.
enum class TokenKind : uint8_t {
    kData,        ///< text outside of tags
    kPrintBegin,  ///< {{
    kPrintEnd,    ///< }}
    kBlockBegin,  ///< {%
    kBlockEnd,    ///< %}
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,  ///< text is the operator
    kEnd,
};

/// A word of a template, and the line where it begins.
struct Token {
    TokenKind kind = TokenKind::kEnd;
    int line = 1;
    std::string text;  ///< of a string: with its escapes resolved
    int64_t integer = 0;
    double real = 0;
};

/// Cuts a template into tokens, ending with kEnd, as jinja2 does with trim_blocks and
/// lstrip_blocks: the newline behind a block or comment is dropped, as is white space between the
/// beginning of a line and a block or comment, `-` at a tag's edge drops all white space there and
/// `+` keeps it. Comments and `raw` end here; line ends become \n, one at the very end is dropped.
/// `source` must be valid UTF-8. Throws SyntaxFailure.
std::vector<Token> tokenize(std::string_view source);

/// What the lexer and the parser do not accept, with the line.
struct SyntaxFailure {
    std::string what;
    int line = 1;
    bool unsupported = false;
};

/// A token for messages: its text, or what it stands for.
std::string describe(const Token& token);

}  // namespace lowkey::jinja
