#include "jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/unicode.h"
#include "jinja/arithmetic.h"
#include "jinja/text.h"

namespace lowkey::jinja {
namespace {

constexpr std::array<std::string_view, 26> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

std::string normal_lines(std::string_view source) {
    std::string out;
    out.reserve(source.size());
    for (size_t i = 0; i < source.size(); ++i) {
        if (source[i] != '\r') {
            out += source[i];
        } else {
            out += '\n';
            if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
        }
    }
    if (!out.empty() && out.back() == '\n') out.pop_back();
    return out;
}

class Lexer {
public:
    explicit Lexer(std::string_view source) : source_(normal_lines(source)), text_(source_) {}

    std::vector<Token> run() {
        while (pos_ < text_.size()) root();
        add(TokenKind::kEnd, "");
        return std::move(tokens_);
    }

private:
    enum class Tag { kNone, kPrint, kBlock, kComment, kRaw };

    [[noreturn]] void fail(const std::string& what) const { throw SyntaxFailure{what, line_}; }
    [[nodiscard]] bool at(std::string_view what, size_t pos) const {
        return text_.substr(pos, what.size()) == what;
    }
    [[nodiscard]] size_t skip_spaces(size_t pos) const {
        while (pos < text_.size()) {
            size_t next = pos;
            if (!is_space(next_code_point(text_, next))) break;
            pos = next;
        }
        return pos;
    }
    void move_to(size_t pos) {
        line_ += static_cast<int>(std::count(text_.begin() + static_cast<ptrdiff_t>(pos_),
                                             text_.begin() + static_cast<ptrdiff_t>(pos), '\n'));
        line_starting_ = pos > pos_ ? text_[pos - 1] == '\n' : line_starting_;
        pos_ = pos;
    }
    Token& add(TokenKind kind, std::string_view text) {
        Token& token = tokens_.emplace_back();
        token.kind = kind;
        token.line = line_;
        token.text = text;
        return token;
    }

    // Text up to the next tag, and the tag.
    void root() {
        size_t begin = pos_;
        Tag tag = Tag::kNone;
        for (; begin + 1 < text_.size(); ++begin) {
            if (text_[begin] != '{') continue;
            const char next = text_[begin + 1];
            tag = next == '{'   ? Tag::kPrint
                  : next == '%' ? Tag::kBlock
                  : next == '#' ? Tag::kComment
                                : Tag::kNone;
            if (tag != Tag::kNone) break;
        }
        if (tag == Tag::kNone) {
            add(TokenKind::kData, text_.substr(pos_));
            move_to(text_.size());
            return;
        }
        size_t raw_body = 0;
        if (tag == Tag::kBlock && begins_raw(begin, raw_body)) tag = Tag::kRaw;
        const char sign = begin + 2 < text_.size() ? text_[begin + 2] : '\0';
        add_data(text_.substr(pos_, begin - pos_), sign, tag == Tag::kPrint);
        move_to(begin);
        const size_t after = begin + (sign == '-' || sign == '+' ? 3 : 2);
        switch (tag) {
            case Tag::kComment:
                move_to(after);
                comment();
                break;
            case Tag::kRaw:
                move_to(raw_body);
                raw();
                break;
            case Tag::kPrint:
                add(TokenKind::kPrintBegin, "{{");
                move_to(after);
                expression("}}", TokenKind::kPrintEnd);
                break;
            default:
                add(TokenKind::kBlockBegin, "{%");
                move_to(after);
                expression("%}", TokenKind::kBlockEnd);
                break;
        }
    }

    // `{% raw %}` at `begin`; its body starts at `body`.
    bool begins_raw(size_t begin, size_t& body) const {
        size_t pos = begin + 2;
        if (pos < text_.size() && (text_[pos] == '-' || text_[pos] == '+')) ++pos;
        pos = skip_spaces(pos);
        if (!at("raw", pos)) return false;
        pos = skip_spaces(pos + 3);
        if (at("-%}", pos)) {
            body = skip_spaces(pos + 3);
            return true;
        }
        body = pos + 2;
        return at("%}", pos);
    }

    void add_data(std::string_view data, char sign, bool before_print) {
        if (sign == '-') {
            data = strip(data, std::nullopt, Side::kRight);
        } else if (sign != '+' && !before_print) {
            const size_t last_line = data.rfind('\n') + 1;  // 0 when there is none
            const bool starts_line = last_line > 0 || line_starting_;
            if (starts_line && strip(data.substr(last_line), std::nullopt, Side::kBoth).empty()) {
                data = data.substr(0, last_line);
            }
        }
        if (!data.empty()) add(TokenKind::kData, data);
    }

    // The end of a tag: its length with what it swallows, 0 when it is not there.
    [[nodiscard]] size_t tag_end(std::string_view end, size_t pos, bool trims_newline) const {
        if (text_[pos] == '-' && at(end, pos + 1)) {
            return skip_spaces(pos + 1 + end.size()) - pos;
        }
        if (trims_newline && text_[pos] == '+' && at(end, pos + 1)) return 1 + end.size();
        if (!at(end, pos)) return 0;
        const bool newline = trims_newline && at("\n", pos + end.size());
        return end.size() + (newline ? 1 : 0);
    }

    void comment() {
        for (size_t pos = pos_; pos < text_.size(); ++pos) {
            const char c = text_[pos];
            if (c != '#' && c != '-' && c != '+') continue;
            if (const size_t length = tag_end("#}", pos, true); length > 0) {
                return move_to(pos + length);
            }
        }
        fail("Missing end of comment tag");
    }

    void raw() {
        for (size_t pos = text_.find("{%", pos_); pos != std::string_view::npos;
             pos = text_.find("{%", pos + 1)) {
            size_t name = pos + 2;
            char sign = '\0';
            if (name < text_.size() && (text_[name] == '-' || text_[name] == '+')) {
                sign = text_[name++];
            }
            name = skip_spaces(name);
            if (!at("endraw", name)) continue;
            const size_t end = skip_spaces(name + 6);
            const size_t length = end < text_.size() ? tag_end("%}", end, true) : 0;
            if (length == 0) continue;
            add_data(text_.substr(pos_, pos - pos_), sign, false);
            return move_to(end + length);
        }
        fail("Missing end of raw directive");
    }

    void expression(std::string_view end, TokenKind end_kind) {
        std::string open;  // the closing brackets that are still missing
        for (;;) {
            move_to(skip_spaces(pos_));
            if (pos_ >= text_.size()) return;  // the parser says what is missing
            if (open.empty()) {
                const size_t length = tag_end(end, pos_, end_kind == TokenKind::kBlockEnd);
                if (length > 0) {
                    add(end_kind, end);
                    return move_to(pos_ + length);
                }
            }
            token(open);
        }
    }

    void token(std::string& open) {
        const char c = text_[pos_];
        if (c >= '0' && c <= '9') return number();
        if (c == '\'' || c == '"') return string();
        if (const size_t length = name_length(); length > 0) {
            add(TokenKind::kName, text_.substr(pos_, length));
            return move_to(pos_ + length);
        }
        for (const std::string_view symbol : kOperators) {
            if (!at(symbol, pos_)) continue;
            balance(c, open);
            add(TokenKind::kOperator, symbol);
            return move_to(pos_ + symbol.size());
        }
        size_t pos = pos_;
        fail(fmt::format("unexpected char {}", std::string(next_character(text_, pos))));
    }

    void balance(char c, std::string& open) const {
        if (c == '(' || c == '[' || c == '{') {
            open += c == '(' ? ')' : c == '[' ? ']' : '}';
        } else if (c == ')' || c == ']' || c == '}') {
            if (open.empty()) fail(std::string("unexpected '") + c + "'");
            if (open.back() != c) {
                fail(std::string("unexpected '") + c + "', expected '" + open.back() + "'");
            }
            open.pop_back();
        }
    }

    [[nodiscard]] size_t name_length() const {
        size_t pos = pos_;
        while (pos < text_.size()) {
            size_t next = pos;
            const char32_t c = next_code_point(text_, next);
            const bool first = pos == pos_;
            const bool fits = c == '_' || is_letter(c) || (!first && (is_decimal(c) || is_mark(c)));
            if (!fits) break;
            pos = next;
        }
        return pos - pos_;
    }

    /// Digits with single underscores between them, from `pos`.
    [[nodiscard]] size_t digits_end(size_t pos) const {
        const auto digit = [&](size_t i) {
            return i < text_.size() && text_[i] >= '0' && text_[i] <= '9';
        };
        while (digit(pos) || (pos < text_.size() && text_[pos] == '_' && digit(pos + 1))) ++pos;
        return pos;
    }

    void number() {
        const size_t whole_end = digits_end(pos_);
        size_t end = whole_end;
        const bool after_dot = pos_ > 0 && text_[pos_ - 1] == '.';
        const auto digit = [&](size_t i) {
            return i < text_.size() && text_[i] >= '0' && text_[i] <= '9';
        };
        if (!after_dot && at(".", end) && digit(end + 1)) end = digits_end(end + 1);
        if (!after_dot && end < text_.size() && (text_[end] | 0x20) == 'e') {
            size_t exponent = end + 1;
            if (at("+", exponent) || at("-", exponent)) ++exponent;
            if (digit(exponent)) end = digits_end(exponent);
        }
        if (end > whole_end) {
            std::string digits(text_.substr(pos_, end - pos_));
            digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
            add(TokenKind::kFloat, digits).real = std::strtod(digits.c_str(), nullptr);
            return move_to(end);
        }
        integer(whole_end);
    }

    void integer(size_t decimal_end) {
        size_t end = decimal_end;
        const char prefix =
            pos_ + 1 < text_.size() ? static_cast<char>(text_[pos_ + 1] | 0x20) : '\0';
        if (text_[pos_] == '0' && (prefix == 'x' || prefix == 'o' || prefix == 'b')) {
            size_t pos = pos_ + 2;
            while (
                pos < text_.size() &&
                (std::isxdigit(static_cast<unsigned char>(text_[pos])) != 0 || text_[pos] == '_'))
                ++pos;
            end = pos;
        }
        const std::string_view digits = text_.substr(pos_, end - pos_);
        try {
            const auto value = parse_integer(digits, 0);
            if (!value) fail(fmt::format("'{}' is no number", std::string(digits)));
            add(TokenKind::kInteger, digits).integer = *value;
        } catch (const Failure& failure) {
            throw SyntaxFailure{failure.what(), line_, true};
        }
        move_to(end);
    }

    void string() {
        const char quote = text_[pos_];
        size_t end = pos_ + 1;
        while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
        if (end >= text_.size()) fail(std::string("unexpected char ") + quote);
        add(TokenKind::kString, unescaped(text_.substr(pos_ + 1, end - pos_ - 1)));
        move_to(end + 1);
    }

    [[nodiscard]] std::string unescaped(std::string_view raw) const {
        std::string out;
        for (size_t i = 0; i < raw.size();) {
            if (raw[i] != '\\') {
                out += raw[i++];
            } else {
                ++i;
                escape(raw, i, out);
            }
        }
        return out;
    }

    // raw[i] is what follows a backslash.
    void escape(std::string_view raw, size_t& i, std::string& out) const {
        constexpr std::string_view names = "\\'\"abfnrtv";
        constexpr std::string_view meanings = "\\'\"\a\b\f\n\r\t\v";
        const char c = raw[i++];
        if (const size_t simple = names.find(c); simple != std::string_view::npos) {
            out += meanings[simple];
        } else if (c == '\n') {
            return;
        } else if (c >= '0' && c <= '7') {
            char32_t code = static_cast<char32_t>(c - '0');
            for (int n = 1; n < 3 && i < raw.size() && raw[i] >= '0' && raw[i] <= '7'; ++n) {
                code = code * 8 + static_cast<char32_t>(raw[i++] - '0');
            }
            append_utf8(out, code);
        } else if (c == 'x' || c == 'u' || c == 'U') {
            append_utf8(out, hexadecimal(raw, i, c == 'x' ? 2 : c == 'u' ? 4 : 8));
        } else if (c == 'N') {
            throw SyntaxFailure{"character names (\\N{...}) in strings", line_, true};
        } else {  // not an escape: both stay
            out += '\\';
            out += c;
        }
    }

    char32_t hexadecimal(std::string_view raw, size_t& i, int digits) const {
        uint64_t code = 0;
        for (int n = 0; n < digits; ++n, ++i) {
            if (i >= raw.size() || std::isxdigit(static_cast<unsigned char>(raw[i])) == 0) {
                fail("a \\x, \\u or \\U escape with too few digits");
            }
            const char c = static_cast<char>(raw[i] | 0x20);
            code = code * 16 + static_cast<uint64_t>(c >= 'a' ? c - 'a' + 10 : raw[i] - '0');
        }
        if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
            fail("an escape that is no Unicode character");
        }
        return static_cast<char32_t>(code);
    }

    std::string source_;
    std::string_view text_;
    size_t pos_ = 0;
    int line_ = 1;
    bool line_starting_ = true;
    std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

std::string describe(const Token& token) {
    switch (token.kind) {
        case TokenKind::kData:
            return "template data";
        case TokenKind::kPrintBegin:
            return "begin of print statement";
        case TokenKind::kPrintEnd:
            return "end of print statement";
        case TokenKind::kBlockBegin:
            return "begin of statement block";
        case TokenKind::kBlockEnd:
            return "end of statement block";
        case TokenKind::kString:
            return "string";
        case TokenKind::kInteger:
        case TokenKind::kFloat:
            return "number";
        case TokenKind::kName:
        case TokenKind::kOperator:
            return token.text;
        case TokenKind::kEnd:
            return "end of template";
    }
    return "";
}

}  // namespace lowkey::jinja
