#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lowkey {

// What an evaluation's figures are of, in words that stand beside them: the same plan gives other
// figures under another protocol.

/// Windows of a text of which `prefill` tokens are a prompt (absent: all of them).
std::string windows_scored(std::optional<int64_t> prefill);
/// Choices of a zero-shot question.
inline constexpr char kContinuationsScored[] = "continuations, through the cache of their context";
/// What follows a prompt: the first token comes from the prompt's own pass.
inline constexpr char kAnswersScored[] = "greedy answers, decoded through the prompt's cache";
/// What follows a text and a question that came token by token.
inline constexpr char kQuestionsScored[] =
    "greedy answers to questions that were decoded through the text's cache";

}  // namespace lowkey
