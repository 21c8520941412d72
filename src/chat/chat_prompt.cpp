#include "chat/chat_prompt.h"

#include "base/error.h"
#include "base/unicode.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

std::string render(const ChatTemplate& chat_template, const std::vector<ChatMessage>& messages,
                   bool add_generation_prompt) {
    std::vector<jinja::Value> values;
    for (const ChatMessage& message : messages) {
        std::string storage;
        jinja::Dict dict;
        dict.set("role", jinja::Value::string(message.role));
        dict.set("content",
                 jinja::Value::string(std::string(valid_utf8(message.content, storage))));
        values.push_back(jinja::Value::dict(std::move(dict)));
    }
    ChatRequest request;
    request.messages = jinja::Value::list(std::move(values));
    request.add_generation_prompt = add_generation_prompt;
    return chat_template.render(request);
}

}  // namespace

std::vector<int32_t> chat_prompt(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                 const std::vector<ChatMessage>& messages) {
    return tokenizer.encode(render(chat_template, messages, /*add_generation_prompt=*/true),
                            /*add_special_tokens=*/false);
}

std::optional<int32_t> end_of_turn(const ChatTemplate& chat_template, const Tokenizer& tokenizer) {
    static constexpr char kAnswer[] = "lowkeyanswer";  // found again in what the template writes
    std::string text;
    try {
        text = render(chat_template, {{"user", "a"}, {"assistant", kAnswer}}, false);
    } catch (const Error&) {
        return std::nullopt;  // a template need not know answers; conversations will tell
    }
    const size_t answer = text.rfind(kAnswer);
    if (answer == std::string::npos) return std::nullopt;
    for (const int32_t id : tokenizer.encode(text.substr(answer + sizeof kAnswer - 1), false)) {
        if (tokenizer.is_special(id)) return id;
        const std::string piece = tokenizer.decode({&id, 1}, false);
        if (piece.find_first_not_of(" \t\n") != std::string::npos) return std::nullopt;
    }
    return std::nullopt;
}

}  // namespace lowkey
