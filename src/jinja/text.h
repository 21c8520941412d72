#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lowkey::jinja {

// Python's string methods on valid UTF-8.

// Like std::string::find and rfind, but in time linear in the text for any needle.
size_t find_bytes(std::string_view text, std::string_view needle, size_t from);
size_t find_last_bytes(std::string_view text, std::string_view needle);
/// How often `needle` (not empty) is there, without overlaps.
int64_t count_bytes(std::string_view text, std::string_view needle);

/// White space as str.isspace() and str.strip() know it.
bool is_space(char32_t c);

/// Which end of a text.
enum class Side { kLeft, kRight, kBoth };
/// Cuts white space, or the characters of `chars`.
std::string_view strip(std::string_view text, std::optional<std::string_view> chars, Side side);

/// str.split() and, from the right, str.rsplit(); without separator at runs of white space.
/// `limit`: most cuts, -1 for all.
std::vector<std::string_view> split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t limit,
                                    Side from);
/// str.splitlines()
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

// The string methods of these names; swap_case() is str.swapcase().
std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);
std::string swap_case(std::string_view text);

/// str.isupper(), str.islower(): has cased characters, and all of them are so.
bool all_upper(std::string_view text);
bool all_lower(std::string_view text);
/// str.istitle()
bool all_title(std::string_view text);
/// Not empty, and true of every character.
bool all_characters(std::string_view text, bool (*predicate)(char32_t));
/// str.isdigit() of one character: decimals, and the likes of superscripts.
bool is_digit(char32_t c);
/// str.isalnum() of one character.
bool is_alphanumeric(char32_t c);

}  // namespace lowkey::jinja
