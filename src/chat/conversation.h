#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "chat/chat_prompt.h"
#include "chat/chat_template.h"
#include "engine/generation.h"

namespace lowkey {

/// A conversation with a model. Its cache is kept between turns: what the template writes anew
/// each time is computed only from where it differs from what the cache holds, as long as no head
/// has forgotten something before that; then from the start. One thread at a time.
class Conversation {
public:
    /// All must outlive it.
    Conversation(Engine& engine, const Tokenizer& tokenizer, const ChatTemplate& chat_template)
        : engine_(engine), tokenizer_(tokenizer), template_(chat_template) {}

    /// What came of one turn.
    struct Turn {
        Generation generation;
        int64_t reused_tokens = 0;  ///< of the prompt: those the cache held
        bool restarted = false;     ///< the cache held something else, from there on or altogether
    };

    /// Says something and lets the model answer; both become part of the conversation, an
    /// interrupted answer as far as it came (with its question it is left out where it is empty).
    /// Throws what ChatTemplate::render() and generate() throw, and UsageError when the
    /// conversation has outgrown the context; it is then as before, but for the cache, which keeps
    /// the whole steps that were taken.
    Turn say(const std::string& text, const GenerationOptions& options);

    /// The message that goes first; empty for none. The rest stays.
    void set_system(const std::string& text) { system_ = text; }
    /// Forgets all but the system message.
    void clear();

private:
    [[nodiscard]] std::vector<int32_t> prompt() const;
    void check_fits(const std::vector<int32_t>& prompt) const;
    /// Cuts the cache back to what a prompt begins with, or begins a new one; how many tokens of the
    /// prompt it then holds.
    int64_t reuse(const std::vector<int32_t>& prompt);
    Generation answer(const std::vector<int32_t>& prompt, const GenerationOptions& options,
                      Turn& turn);

    Engine& engine_;
    const Tokenizer& tokenizer_;
    const ChatTemplate& template_;
    std::string system_;
    std::vector<ChatMessage> messages_;
    std::unique_ptr<SequenceCache> sequence_;
    std::vector<int32_t> cached_;  // the tokens in sequence_
};

}  // namespace lowkey
