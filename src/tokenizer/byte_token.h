#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lowkey {

/// The token that stands for one byte in vocabularies with byte fallback: `<0x41>`.
std::string byte_token(size_t byte);
/// The byte of such a token.
std::optional<char> parse_byte_token(std::string_view token);

}  // namespace lowkey
