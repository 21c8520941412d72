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

int64_t Conversation::reuse(const std::vector<int32_t>& prompt) {
    // At least one token must be new: its logits are what the answer begins with.
    const size_t most = prompt.empty() ? 0 : std::min(cached_.size(), prompt.size() - 1);
    const auto common = static_cast<size_t>(
        std::mismatch(cached_.begin(), cached_.begin() + static_cast<std::ptrdiff_t>(most),
                      prompt.begin())
            .first -
        cached_.begin());
    // What the template leaves out of the history (thoughts, say) is cut off; what a head has
    // forgotten does not come back.
    if (common > 0 && sequence_->truncate(static_cast<int64_t>(common))) {
        cached_.resize(common);
        return static_cast<int64_t>(common);
    }
    sequence_.reset();  // first: the budget may hold only one
    cached_.clear();
    sequence_ = engine_.new_sequence();
    return 0;
}

Generation Conversation::answer(const std::vector<int32_t>& prompt,
                                const GenerationOptions& options, Turn& turn) {
    const auto cached = static_cast<int64_t>(cached_.size());
    turn.reused_tokens = reuse(prompt);
    turn.restarted = turn.reused_tokens < cached;
    // What the cache held already is no reason to sample otherwise: the penalty counts it, too.
    std::vector<int32_t> tokens(prompt.begin(), prompt.begin() + turn.reused_tokens);
    GenerationOptions own = options;
    own.tokens = &tokens;
    // Whatever ends it, the cache holds whole steps of this, which are kept.
    const auto keep = [&] {
        tokens.resize(static_cast<size_t>(sequence_->num_tokens()));
        cached_.swap(tokens);
    };
    try {
        Generation result =
            generate(engine_, *sequence_, &tokenizer_,
                     std::span(prompt).subspan(static_cast<size_t>(turn.reused_tokens)), own);
        keep();
        return result;
    } catch (...) {
        keep();
        throw;
    }
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
