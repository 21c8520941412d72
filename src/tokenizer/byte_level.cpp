#include "tokenizer/byte_level.h"

#include "base/unicode.h"

namespace lowkey {

ByteLevelAlphabet::ByteLevelAlphabet() {
    byte_of_point_.fill(-1);
    char32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        const bool printable =
            (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
        const char32_t point = printable ? byte : next++;
        point_of_byte_[byte] = point;
        byte_of_point_[point] = static_cast<int16_t>(byte);
    }
}

void ByteLevelAlphabet::append_mapped(std::string& out, std::string_view bytes) const {
    const size_t start = out.size();
    out.resize(start + 2 * bytes.size());
    char* to = out.data() + start;
    for (const char byte : bytes) {
        const char32_t point = point_of_byte_[static_cast<uint8_t>(byte)];
        if (point < 0x80) {
            *to++ = static_cast<char>(point);
        } else {
            *to++ = static_cast<char>(0xC0 | (point >> 6));
            *to++ = static_cast<char>(0x80 | (point & 0x3F));
        }
    }
    out.resize(static_cast<size_t>(to - out.data()));
}

void ByteLevelAlphabet::append_bytes(std::string& out, std::string_view token) const {
    const size_t start = out.size();
    for (size_t pos = 0; pos < token.size();) {
        const char32_t point = next_code_point(token, pos);
        if (point >= kNumPoints || byte_of_point_[point] < 0) {
            out.resize(start);
            out.append(token);
            return;
        }
        out.push_back(static_cast<char>(byte_of_point_[point]));
    }
}

}  // namespace lowkey
