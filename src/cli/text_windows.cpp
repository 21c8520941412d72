#include "cli/text_windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "eval/perplexity.h"

namespace lowkey::cli {

std::vector<std::span<const int32_t>> cut_text(std::span<const int32_t> tokens,
                                               const TextWindows& asked) {
    const auto all = std::ssize(tokens);
    if (asked.max_tokens)
        tokens = tokens.first(std::min(tokens.size(), static_cast<size_t>(*asked.max_tokens)));
    auto windows = cut_windows(tokens, {asked.length, asked.sequences});
    // Said of what runs: a refusal is one line.
    if (asked.max_tokens && *asked.max_tokens > all) {
        fmt::print(stderr, "lowkey: note: the text has {} tokens, fewer than --max-tokens {}\n",
                   all, *asked.max_tokens);
    }
    if (std::ssize(windows) < asked.sequences) {
        fmt::print(stderr,
                   "lowkey: note: {} windows of {} tokens fit side by side in {} tokens: so many "
                   "are scored, not {}\n",
                   windows.size(), asked.length, tokens.size(), asked.sequences);
    }
    return windows;
}

}  // namespace lowkey::cli
