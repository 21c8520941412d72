#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chat/chat_template.h"

namespace lowkey {

class Tokenizer;

/// Who said what: "system", "user" or "assistant", and the words.
struct ChatMessage {
    std::string role;
    std::string content;
};

/// The tokens of a conversation as the template writes it, up to where an answer begins. The
/// template writes all special tokens, bos too: the tokenizer adds none. Throws what
/// ChatTemplate::render() throws.
std::vector<int32_t> chat_prompt(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                 const std::vector<ChatMessage>& messages);

/// The special token that the template writes behind an answer, which is how a model that learned
/// it ends one, whatever its configuration says. Nothing where the template writes none.
std::optional<int32_t> end_of_turn(const ChatTemplate& chat_template, const Tokenizer& tokenizer);

}  // namespace lowkey
