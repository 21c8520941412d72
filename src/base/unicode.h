#pragma once

#include <cstddef>
#include <cstdint>
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

/// How many bytes at the end may begin a character that is not complete.
size_t incomplete_tail(std::string_view bytes);

/// The end of the ASCII bytes that start at `pos`.
size_t skip_ascii(std::string_view text, size_t pos);

/// `text` when it is valid UTF-8; else a copy in `storage` with one U+FFFD for every maximal
/// invalid part, as Python's errors="replace" and Rust's from_utf8_lossy write it.
std::string_view valid_utf8(std::string_view text, std::string& storage);

/// The code point at text[pos]; moves pos behind it. `text` must be valid UTF-8.
char32_t next_code_point(std::string_view text, size_t& pos);
/// The first and last code point of valid, non-empty UTF-8.
char32_t first_code_point(std::string_view text);
char32_t last_code_point(std::string_view text);
void append_utf8(std::string& out, char32_t c);

// Of valid UTF-8; places and lengths are code points.

/// Whether a byte begins a character, rather than going on with one.
inline bool begins_character(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) != 0x80; }
int64_t num_characters(std::string_view text);
/// The byte at which character `index` begins; text.size() for the index behind the last.
size_t byte_of_character(std::string_view text, int64_t index);
/// The character at byte `pos`, moved behind it.
std::string_view next_character(std::string_view text, size_t& pos);

/// General categories, in the order of Unicode's names: letters, marks, numbers, punctuation,
/// symbols, separators, others.
enum class Category : uint8_t {
    // clang-format off
    kCn, kLu, kLl, kLt, kLm, kLo, kMn, kMc, kMe, kNd, kNl, kNo, kPc, kPd, kPs, kPe, kPi, kPf, kPo,
    kSm, kSc, kSk, kSo, kZs, kZl, kZp, kCc, kCf, kCs, kCo,
    // clang-format on
};
Category category(char32_t c);  ///< of Unicode 16

bool is_white_space(char32_t c);  ///< Unicode property White_Space
bool is_letter(char32_t c);       ///< general categories L*
bool is_mark(char32_t c);         ///< general categories M*
bool is_numeric(char32_t c);      ///< general categories N*
bool is_punctuation(char32_t c);  ///< ASCII punctuation (also its symbols) and categories P*
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
/// Equal for characters that differ in case only (Unicode's simple case folding).
char32_t fold_case(char32_t c);

/// Every character by itself to lower case: no context, so no final sigma.
std::string to_lowercase(std::string_view text);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
/// Normal form of valid UTF-8 (of Unicode 9, as `tokenizers` has it), in time linear in its length
/// but for sorting marks.
std::string normalize(std::string_view text, NormalForm form);

}  // namespace lowkey
