#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace lowkey {

/// GPT-2's alphabet: every byte as one printable character, so that vocabularies are text.
/// Printable Latin-1 stands for itself, the other 68 bytes are U+0100 and on, in order (a space is
/// `Ġ`). Source: Radford et al., "Language Models are Unsupervised Multitask Learners", its
/// encoder.
class ByteLevelAlphabet {
public:
    ByteLevelAlphabet();
    /// Appends the characters for `bytes`.
    void append_mapped(std::string& out, std::string_view bytes) const;
    /// Appends the bytes that `token` stands for; a token with a character outside the alphabet
    /// (added tokens may have some) stands for its own bytes.
    void append_bytes(std::string& out, std::string_view token) const;

private:
    static constexpr size_t kNumPoints = 0x144;  // one more than the last character
    std::array<char32_t, 256> point_of_byte_{};
    std::array<int16_t, kNumPoints> byte_of_point_{};  // -1: outside the alphabet
};

}  // namespace lowkey
