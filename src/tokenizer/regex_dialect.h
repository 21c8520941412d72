#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace lowkey {

/// A construct that to_pcre2 does not translate; its text names it.
class DialectError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Tokenizer files hold regular expressions of Oniguruma (Ruby's syntax). The same pattern as PCRE2
/// (with UTF, UCP and MULTILINE) matches it: `\s`, `\w` and `\h` by Oniguruma's definitions,
/// `{n,m}+` as a repetition (PCRE2 would take it as possessive), nested classes flattened. Throws
/// DialectError for what has no counterpart, as `&&` in a class.
std::string to_pcre2(std::string_view pattern);

}  // namespace lowkey
