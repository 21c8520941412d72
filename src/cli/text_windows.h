#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace lowkey::cli {

/// Which windows of a text a command was asked to score.
struct TextWindows {
    int64_t length = 2048;
    std::optional<int64_t> max_tokens = {};  ///< the text's first so many tokens
    int64_t sequences = 0;                   ///< WindowOptions::sequences
};

/// Cuts a text, and says on stderr where it is too short for what was asked. Throws what
/// cut_windows() throws.
std::vector<std::span<const int32_t>> cut_text(std::span<const int32_t> tokens,
                                               const TextWindows& asked);

}  // namespace lowkey::cli
