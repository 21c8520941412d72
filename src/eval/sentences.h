#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lowkey {

class Tokenizer;

// Where sentences end in texts of any kind: prose of several scripts, and what has no sentences
// (code, tables, lists).

/// Sentences of texts, with single spaces for runs of white space. They end at white space behind
/// the end of a sentence, at once behind that of a script without spaces, and, where a text has
/// neither for long, between two words or characters.
std::vector<std::string> split_sentences(std::span<const std::string> texts);

/// The place to put a sentence into `tokens` when `at` (0 to their number) was asked for: back
/// behind the end of a sentence if one is near, else behind the end of a line, else just there, but
/// never inside a character.
int64_t place_for_sentence(const Tokenizer& tokenizer, std::span<const int32_t> tokens, int64_t at);

}  // namespace lowkey
