#pragma once

#include <string_view>

#include "base/code_points.h"

namespace lowkey {

/// Reads the parts of a regular expression that stand for one character, in Oniguruma's syntax.
class ClassReader {
public:
    explicit ClassReader(std::string_view pattern) : in_(pattern) {}

    /// What a backslash at `pos` and what belongs to it stand for; `pos` moves behind it. Inside of
    /// brackets `\b` is a backspace, and `\w` differs in a few characters. Throws DialectError for
    /// escapes that stand for no character, PatternError.
    CodePointSet escape(size_t& pos, bool in_brackets) const;
    /// The class that begins with the `[` at `pos`. `any_case`: letters stand for their other cases
    /// too. Throws PatternError.
    CodePointSet brackets(size_t& pos, bool any_case) const;

private:
    [[nodiscard]] bool at(size_t pos, std::string_view text) const {
        return in_.substr(pos, text.size()) == text;
    }
    CodePointSet brackets(size_t& pos, bool any_case, int depth) const;
    CodePointSet union_of(size_t& pos, bool any_case, int depth) const;
    CodePointSet posix(size_t& pos) const;
    CodePointSet property(size_t& pos, bool negated) const;
    [[nodiscard]] char32_t number(size_t& pos, size_t max_digits, unsigned base) const;

    std::string_view in_;
};

}  // namespace lowkey
