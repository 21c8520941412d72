#include "tokenizer/regex_classes.h"

#include <string>

#include "base/unicode.h"
#include "tokenizer/regex_dialect.h"

namespace lowkey {
namespace {

constexpr int kMaxDepth = 64;  // of brackets in brackets

CodePointSet single(char32_t c) { return CodePointSet::of(c, c); }

CodePointSet named(std::string_view name) {
    auto set = CodePointSet::with_property(name);
    if (!set) throw PatternError("unknown property '" + std::string(name) + "'");
    return std::move(*set);
}

int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 16;
}

bool is_single(const CodePointSet& set) {
    return set.ranges().size() == 1 && set.ranges()[0].first == set.ranges()[0].last;
}

}  // namespace

// Up to max_digits digits; at least one.
char32_t ClassReader::number(size_t& pos, size_t max_digits, unsigned base) const {
    char32_t value = 0;
    size_t digits = 0;
    for (; digits < max_digits && pos < in_.size(); ++digits, ++pos) {
        const auto digit = static_cast<unsigned>(digit_of(in_[pos]));
        if (digit >= base) break;
        value = value * base + digit;
    }
    if (digits == 0) throw PatternError("number without digits");
    if (value > kMaxCodePoint) throw PatternError("code point out of range");
    return value;
}

// \p{Name}, \p{^Name}, \P{Name}; pos stands at the brace.
CodePointSet ClassReader::property(size_t& pos, bool negated) const {
    const size_t end = in_.find('}', pos);
    if (end == std::string_view::npos) throw PatternError("\\p without }");
    std::string_view name = in_.substr(pos + 1, end - pos - 1);
    pos = end + 1;
    if (name.starts_with('^')) {
        negated = !negated;
        name.remove_prefix(1);
    }
    const CodePointSet set = named(name);
    return negated ? set.complement() : set;
}

CodePointSet ClassReader::escape(size_t& pos, bool in_brackets) const {
    if (pos + 1 >= in_.size()) throw PatternError("\\ at the end");
    const char c = in_[pos + 1];
    pos += 2;
    const std::string kind = in_brackets ? "class " : "escape ";
    switch (c) {
        case 'w':
        case 'd':
        case 's':
            return named(kind + c);
        case 'W':
            return named(kind + 'w').complement();
        case 'D':
            return named(kind + 'd').complement();
        case 'S':
            return named(kind + 's').complement();
        case 'h':
            return named("XDigit");
        case 'H':
            return named("XDigit").complement();
        case 'n':
            return single('\n');
        case 't':
            return single('\t');
        case 'r':
            return single('\r');
        case 'f':
            return single('\f');
        case 'v':
            return single('\v');
        case 'a':
            return single('\a');
        case 'e':
            return single(0x1B);
        case 'u': {
            const size_t start = pos;
            const char32_t value = number(pos, 4, 16);
            if (pos - start != 4) throw PatternError("\\u without four digits");
            return single(value);
        }
        case 'x': {
            if (pos >= in_.size() || in_[pos] != '{') return single(number(pos, 2, 16));
            const char32_t value = number(++pos, 8, 16);
            if (pos >= in_.size() || in_[pos] != '}') throw PatternError("\\x{ without }");
            ++pos;
            return single(value);
        }
        case '0':
            --pos;
            return single(number(pos, 3, 8));
        case 'p':
        case 'P':
            if (pos < in_.size() && in_[pos] == '{') return property(pos, c == 'P');
            return single(static_cast<char32_t>(c));
        default:
            break;
    }
    if (c == 'b' && in_brackets) return single('\b');
    const bool refused = in_brackets
                             ? std::string_view("cCM").find(c) != std::string_view::npos
                             : std::string_view("cCMKyYgk").find(c) != std::string_view::npos;
    if (refused || (c >= '1' && c <= '9')) throw DialectError(std::string("\\") + c);
    --pos;
    return single(next_code_point(in_, pos));
}

// [:alpha:], [:^alpha:]; pos stands at the bracket.
CodePointSet ClassReader::posix(size_t& pos) const {
    const size_t end = in_.find(":]", pos);
    std::string_view name = in_.substr(pos + 2, end - pos - 2);
    const bool negated = name.starts_with('^');
    if (negated) name.remove_prefix(1);
    pos = end + 2;
    const CodePointSet set = named("posix " + std::string(name));
    return negated ? set.complement() : set;
}

// The members up to `&&` or the bracket that ends the class.
CodePointSet ClassReader::union_of(size_t& pos, bool any_case, int depth) const {
    CodePointSet out;
    const auto is_posix = [&] {
        const size_t end = in_.find(":]", pos);
        return at(pos, "[:") && end != std::string_view::npos &&
               in_.substr(pos + 2, end - pos - 2)
                       .find_first_not_of("^abcdefghijklmnopqrstuvwxyz") == std::string_view::npos;
    };
    const auto member = [&] {
        if (at(pos, "\\")) return escape(pos, true);
        return single(next_code_point(in_, pos));
    };
    while (pos < in_.size() && !at(pos, "]") && !at(pos, "&&")) {
        if (is_posix()) {
            out.add(posix(pos));
        } else if (at(pos, "[")) {
            out.add(brackets(pos, any_case, depth + 1));
        } else {
            CodePointSet found = member();
            const bool is_range =
                at(pos, "-") && pos + 1 < in_.size() && !at(pos, "-]") && !at(pos, "-&&");
            if (is_range && is_single(found) && !at(pos, "-[")) {
                ++pos;
                const CodePointSet last = member();
                if (!is_single(last)) throw PatternError("class at the end of a range");
                const char32_t first = found.ranges()[0].first;
                if (first > last.ranges()[0].first) throw PatternError("empty range in a class");
                found = CodePointSet::of(first, last.ranges()[0].first);
                if (at(pos, "-")) {  // behind a range it is a character
                    found.add(single('-'));
                    ++pos;
                }
            }
            out.add(found);
        }
    }
    return any_case ? out.with_other_cases() : out;
}

CodePointSet ClassReader::brackets(size_t& pos, bool any_case, int depth) const {
    if (depth > kMaxDepth) throw PatternError("classes nested too deep");
    ++pos;
    const bool negated = at(pos, "^");
    if (negated) ++pos;
    CodePointSet out;
    if (at(pos, "]")) {  // a character, where it stands first
        out = single(']');
        ++pos;
    }
    out.add(union_of(pos, any_case, depth));
    while (at(pos, "&&")) {
        pos += 2;
        out = out.intersection(union_of(pos, any_case, depth));
    }
    if (!at(pos, "]")) throw PatternError("character class without ]");
    ++pos;
    return negated ? out.complement() : out;
}

CodePointSet ClassReader::brackets(size_t& pos, bool any_case) const {
    return brackets(pos, any_case, 0);
}

}  // namespace lowkey
