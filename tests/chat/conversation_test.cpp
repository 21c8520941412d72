#include "chat/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/io/temporary_folder.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

// Writes every message in a way that only grows as the conversation goes on.
constexpr char kGrowing[] =
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token if m.role == "
    "'assistant' }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
// Writes the number of messages first: every turn changes the beginning.
constexpr char kChanging[] =
    "{{ bos_token }}{{ messages|length }} {% for m in messages %}{{ m.content }}\n{% endfor %}";

class Talk : public TemporaryFolder {
protected:
    explicit Talk(int64_t max_context = 256)
        : model_(
              Model::load(LOWKEY_SMALL_MODEL, {.dtype = DType::kF32, .max_context = max_context})),
          tokenizer_(Tokenizer::load(LOWKEY_SMALL_MODEL)),
          engine_(model_,
                  CachePlan::dense(model_->config().num_layers, model_->config().num_kv_heads)) {}

    [[nodiscard]] ChatTemplate chat_template(const std::string& source) const {
        return ChatTemplate::from_file(file("chat.jinja", source), LOWKEY_SMALL_MODEL);
    }
    /// What the model says after a prompt in a fresh cache.
    std::string answer_to(const std::string& prompt, const GenerationOptions& options) {
        const auto sequence = engine_.new_sequence();
        return generate(engine_, *sequence, tokenizer_.get(), tokenizer_->encode(prompt, false),
                        options)
            .text;
    }

    std::shared_ptr<const Model> model_;
    std::shared_ptr<const Tokenizer> tokenizer_;
    Engine engine_;
    GenerationOptions options_{.max_new_tokens = 6};
};

TEST_F(Talk, TheHistoryIsPartOfEveryPrompt) {
    const ChatTemplate growing = chat_template(kGrowing);
    Conversation conversation(engine_, *tokenizer_, growing);
    conversation.set_system("Be kind.");
    const std::string first = conversation.say("Hello", options_).generation.text;
    const std::string begin = "<|begin_of_text|>system: Be kind.\nuser: Hello\nassistant: ";
    EXPECT_EQ(first, answer_to(begin, options_));
    const std::string second = conversation.say("And?", options_).generation.text;
    EXPECT_EQ(second,
              answer_to(begin + first + "<|end_of_text|>\nuser: And?\nassistant: ", options_));
    conversation.clear();
    EXPECT_EQ(conversation.say("Hello", options_).generation.text, first) << "the system stays";
}

TEST_F(Talk, TheCacheIsContinuedWherePossible) {
    const ChatTemplate growing = chat_template(kGrowing);
    Conversation conversation(engine_, *tokenizer_, growing);
    const auto first = conversation.say("Hello", options_);
    EXPECT_EQ(first.reused_tokens, 0);
    EXPECT_FALSE(first.restarted);
    const auto second = conversation.say("And?", options_);
    if (!second.restarted) {  // the text of an answer may be cut into other tokens than it came in
        EXPECT_EQ(second.reused_tokens, first.generation.prompt_tokens + 5);
    }
    EXPECT_LT(second.generation.prompt_tokens + second.reused_tokens, 256);
    conversation.clear();
    const auto third = conversation.say("Other", options_);
    EXPECT_TRUE(third.restarted);
    EXPECT_EQ(third.reused_tokens, std::ssize(tokenizer_->encode("<|begin_of_text|>user:", false)))
        << "what both begin with";
}

TEST_F(Talk, TheCommonBeginningIsKeptWhereThoughtsAreLeftOut) {
    // As templates do that leave thoughts out of the history: the last answer alone has a tail.
    const ChatTemplate forgetful = chat_template(
        "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content if m.role == 'user' else "
        "'...' }}\n{% endfor %}assistant: <think>");
    Conversation conversation(engine_, *tokenizer_, forgetful);
    const auto first = conversation.say("Tell me a long story of a small dog", options_);
    const auto second = conversation.say("And?", options_);
    EXPECT_TRUE(second.restarted);
    const auto question = std::ssize(
        tokenizer_->encode("<|begin_of_text|>user: Tell me a long story of a small dog\n", false));
    EXPECT_GE(second.reused_tokens, question);
    EXPECT_EQ(second.generation.text,
              answer_to("<|begin_of_text|>user: Tell me a long story of a small dog\nassistant: "
                        "...\nuser: And?\nassistant: <think>",
                        options_));
}

TEST_F(Talk, AFailureLeavesWholeSteps) {
    const ChatTemplate growing = chat_template(kGrowing);
    Conversation conversation(engine_, *tokenizer_, growing);
    const std::string first = conversation.say("Hello", options_).generation.text;
    GenerationOptions failing = options_;
    int pieces = 0;
    failing.on_text = [&](std::string_view) {
        if (++pieces == 3) throw UsageError("no more", "", "stop");
    };
    EXPECT_THROW(conversation.say("And?", failing), UsageError);
    const auto again = conversation.say("And?", options_);
    EXPECT_EQ(again.generation.text, answer_to("<|begin_of_text|>user: Hello\nassistant: " + first +
                                                   "<|end_of_text|>\nuser: And?\nassistant: ",
                                               options_));
    EXPECT_EQ(again.generation.prompt_tokens, 1) << "all but the last token is there already";
}

TEST_F(Talk, AnotherBeginningStartsAnew) {
    const ChatTemplate changing = chat_template(kChanging);
    Conversation conversation(engine_, *tokenizer_, changing);
    const std::string first = conversation.say("a", options_).generation.text;
    const auto second = conversation.say("b", options_);
    EXPECT_TRUE(second.restarted);
    EXPECT_EQ(second.generation.text,
              answer_to("<|begin_of_text|>3 a\n" + first + "\nb\n", options_));
}

TEST_F(Talk, TheTemplateWritesTheOnlyBos) {
    const ChatTemplate bare = chat_template("{{ messages[0].content }}");
    Conversation conversation(engine_, *tokenizer_, bare);
    const auto turn = conversation.say("<|begin_of_text|>x", options_);
    EXPECT_EQ(turn.generation.prompt_tokens,
              static_cast<int64_t>(tokenizer_->encode("x", false).size()) + 1);
}

TEST_F(Talk, AnInterruptedAnswerStaysAsFarAsItCame) {
    const ChatTemplate growing = chat_template(kGrowing);
    Conversation conversation(engine_, *tokenizer_, growing);
    GenerationOptions stopped = options_;
    std::string said;
    stopped.on_text = [&](std::string_view text) { said += text; };
    stopped.should_stop = [&] { return !said.empty(); };
    const auto turn = conversation.say("Hello", stopped);
    EXPECT_EQ(turn.generation.finish_reason, FinishReason::kInterrupted);
    EXPECT_EQ(turn.generation.text, said);
    EXPECT_EQ(conversation.say("And?", options_).generation.text,
              answer_to("<|begin_of_text|>user: Hello\nassistant: " + said +
                            "<|end_of_text|>\nuser: And?\nassistant: ",
                        options_));
}

TEST_F(Talk, InterruptedBeforeTheFirstWordNothingWasSaid) {
    const ChatTemplate growing = chat_template(kGrowing);
    Conversation conversation(engine_, *tokenizer_, growing);
    GenerationOptions stopped = options_;
    stopped.should_stop = [] { return true; };
    EXPECT_EQ(conversation.say("Hello", stopped).generation.finish_reason,
              FinishReason::kInterrupted);
    EXPECT_EQ(conversation.say("Hi", options_).generation.text,
              answer_to("<|begin_of_text|>user: Hi\nassistant: ", options_));
}

TEST_F(Talk, RefusedMessagesLeaveTheConversationAsItWas) {
    const ChatTemplate strict = chat_template(
        std::string("{% if messages[-1].content == 'bad' %}{{ raise_exception('no bad words') }}"
                    "{% endif %}") +
        kGrowing);
    Conversation conversation(engine_, *tokenizer_, strict);
    const std::string first = conversation.say("Hello", options_).generation.text;
    EXPECT_THAT(message_of<Error>([&] { conversation.say("bad", options_); }),
                HasSubstr("no bad words"));
    std::string many;
    for (int i = 0; i < 300; ++i) many += " word";
    EXPECT_THAT(message_of<UsageError>([&] { conversation.say(many, options_); }),
                HasSubstr("does not fit the context of 256; clear it"));
    EXPECT_EQ(conversation.say("And?", options_).generation.text,
              answer_to("<|begin_of_text|>user: Hello\nassistant: " + first +
                            "<|end_of_text|>\nuser: And?\nassistant: ",
                        options_));
}

}  // namespace
}  // namespace lowkey
