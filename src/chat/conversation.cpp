#include "chat/conversation.h"

#include <algorithm>
#include <span>

#include "base/error.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
std::vector<int32_t> Conversation::prompt() const {
    std::vector<ChatMessage> messages;
    if (!system_.empty()) messages.push_back({"system", system_});
    messages.insert(messages.end(), messages_.begin(), messages_.end());
    return chat_prompt(template_, tokenizer_, messages);
}

Generation Conversation::answer(const std::vector<int32_t>& prompt,
                                const GenerationOptions& options, Turn& turn) {
    // At least one token must be new: its logits are what the answer begins with.
    const bool continues = sequence_ != nullptr && prompt.size() > cached_.size() &&
                           std::equal(cached_.begin(), cached_.end(), prompt.begin());
    turn.restarted = !continues && !cached_.empty();
    turn.reused_tokens = continues ? static_cast<int64_t>(cached_.size()) : 0;
    if (!continues) {
        sequence_.reset();  // first: the budget may hold only one
        cached_.clear();
        sequence_ = engine_.new_sequence();
    }
    Generation result;
    try {
        // What the cache held already is no reason to sample otherwise.
        std::vector<int32_t> tokens = cached_;
        GenerationOptions with_tokens = options;
        with_tokens.tokens = &tokens;
        result = generate(engine_, *sequence_, &tokenizer_,
                          std::span(prompt).subspan(cached_.size()), with_tokens);
    } catch (...) {
        // What was refused before it began left the cache as it was.
        if (sequence_->num_tokens() != static_cast<int64_t>(cached_.size())) {
            sequence_.reset();
            cached_.clear();
        }
        throw;
    }
    cached_ = prompt;
    cached_.insert(cached_.end(), result.ids.begin(), result.ids.end());
    cached_.resize(static_cast<size_t>(sequence_->num_tokens()));
    return result;
}

void Conversation::check_fits(const std::vector<int32_t>& prompt) const {
    const int64_t context = engine_.model().max_context();
    if (static_cast<int64_t>(prompt.size()) <= context) return;
    throw UsageError("the conversation of " + std::to_string(prompt.size()) +
                         " tokens does not fit the context of " + std::to_string(context),
                     "", "clear it, or raise --max-context where the model allows it");
}

Conversation::Turn Conversation::say(const std::string& text, const GenerationOptions& options) {
    Turn turn;
    messages_.push_back({"user", text});
    try {
        const std::vector<int32_t> tokens = prompt();
        check_fits(tokens);
        turn.generation = answer(tokens, options, turn);
    } catch (...) {
        messages_.pop_back();
        throw;
    }
    const bool interrupted = turn.generation.finish_reason == FinishReason::kInterrupted;
    if (interrupted && turn.generation.text.empty()) {
        messages_.pop_back();
    } else {
        messages_.push_back({"assistant", turn.generation.text});
    }
    return turn;
}

void Conversation::clear() { messages_.clear(); }

}  // namespace lowkey
