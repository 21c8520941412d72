#include "tokenizer/byte_token.h"

#include <charconv>

namespace lowkey {

std::string byte_token(size_t byte) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    return std::string("<0x") + digits[(byte >> 4) & 15] + digits[byte & 15] + ">";
}

std::optional<char> parse_byte_token(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
    unsigned value = 0;
    const char* end = token.data() + 5;
    const auto [parsed, error] = std::from_chars(token.data() + 3, end, value, 16);
    if (error != std::errc() || parsed != end) return std::nullopt;
    return static_cast<char>(value);
}

}  // namespace lowkey
