#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lowkey {

/// What stands at one place of bytes that may not be UTF-8.
struct Utf8Char {
    size_t length;  ///< bytes of the character, or of the maximal part that can begin none
    bool valid;
    bool cut;  ///< not valid, but only because the bytes end here
};
Utf8Char inspect_utf8(std::string_view bytes, size_t pos);

/// `text` when it is valid UTF-8; else a copy in `storage` with one U+FFFD for every maximal
/// invalid part, as Python's errors="replace" and Rust's from_utf8_lossy write it.
std::string_view valid_utf8(std::string_view text, std::string& storage);

/// The code point at text[pos]; moves pos behind it. `text` must be valid UTF-8.
char32_t next_code_point(std::string_view text, size_t& pos);
/// The first and last code point of valid, non-empty UTF-8.
char32_t first_code_point(std::string_view text);
char32_t last_code_point(std::string_view text);
void append_utf8(std::string& out, char32_t c);

bool is_white_space(char32_t c);  ///< Unicode property White_Space
bool is_numeric(char32_t c);      ///< general categories Nd, Nl, No
bool is_punctuation(char32_t c);  ///< ASCII punctuation (also its symbols) and categories P*
bool is_mark(char32_t c);         ///< general categories M*
bool is_letter(char32_t c);       ///< general categories L*
bool is_decimal(char32_t c);      ///< general category Nd
bool is_upper(char32_t c);        ///< general category Lu
bool is_lower(char32_t c);        ///< general category Ll, or a letter that only has an upper case
bool is_title(char32_t c);        ///< general category Lt
/// Neither a control, format, private or unassigned character nor a separator other than the space.
bool is_printable(char32_t c);

// One character's other case; itself where it has none.
char32_t to_upper(char32_t c);
char32_t to_lower(char32_t c);
char32_t to_title(char32_t c);

/// Every character by itself to lower case: no context, so no final sigma.
std::string to_lowercase(std::string_view text);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
/// Unicode normal form of valid UTF-8, in time linear in its length.
std::string normalize(std::string_view text, NormalForm form);

}  // namespace lowkey
