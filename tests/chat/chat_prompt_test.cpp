#include "chat/chat_prompt.h"

#include <gtest/gtest.h>

#include "tests/io/temporary_folder.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

class ChatPrompt : public TemporaryFolder {
protected:
    [[nodiscard]] ChatTemplate chat_template(const std::string& source) const {
        return ChatTemplate::from_file(file("chat.jinja", source), LOWKEY_SMALL_MODEL);
    }
    [[nodiscard]] std::optional<int32_t> end_of(const std::string& source) const {
        return end_of_turn(chat_template(source), *tokenizer_);
    }
    std::shared_ptr<const Tokenizer> tokenizer_ = Tokenizer::load(LOWKEY_SMALL_MODEL);
};

TEST_F(ChatPrompt, IsWhatTheTemplateWritesUpToTheAnswer) {
    const ChatTemplate simple = chat_template(
        "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}");
    EXPECT_EQ(chat_prompt(simple, *tokenizer_, {{"system", "Be kind."}, {"user", "Hello\xff"}}),
              tokenizer_->encode("<|begin_of_text|>system: Be kind.\nuser: Hello\ufffd\nassistant:",
                                 false));
}

TEST_F(ChatPrompt, TheEndOfATurnIsTheTemplates) {
    const std::string messages = "{% for m in messages %}{{ m.content }}";
    EXPECT_EQ(end_of(messages + "<|end_of_text|>\n{% endfor %}"), 1);
    EXPECT_EQ(end_of(messages + " \n<|begin_of_text|>{% endfor %}"), 0) << "behind white space";
    EXPECT_EQ(end_of(messages + "{% endfor %}"), std::nullopt);
    EXPECT_EQ(end_of(messages + " and more<|end_of_text|>{% endfor %}"), std::nullopt);
    EXPECT_EQ(end_of("{{ raise_exception('no') }}"), std::nullopt);
    EXPECT_EQ(end_of("{{ messages[0].content }}"), std::nullopt) << "knows no answers";
}

}  // namespace
}  // namespace lowkey
