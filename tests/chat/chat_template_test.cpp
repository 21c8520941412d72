#include "chat/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "jinja/json.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ModelTemplate : public TemporaryFolder {
protected:
    [[nodiscard]] std::string directory() const { return path("model"); }
    void write(const std::string& name, const std::string& text) const {
        static_cast<void>(file("model/" + name, text));
    }
    [[nodiscard]] std::string rendered(bool with_tools = false) const {
        return ChatTemplate::of_model(directory(), with_tools).render(request());
    }
    static ChatRequest request(
        const std::string& messages = R"([{"role": "user", "content": "hi"}])") {
        ChatRequest out;
        out.messages = jinja::from_json(messages, "messages");
        return out;
    }
    [[nodiscard]] std::string failure(bool with_tools = false) const {
        return message_of<FileError>([&] { static_cast<void>(rendered(with_tools)); });
    }
};

TEST_F(ModelTemplate, FromAFileOfItsOwn) {
    write("chat_template.jinja", "file: {{ messages[0].content }}\n");
    write("tokenizer_config.json", R"({"chat_template": "configuration"})");
    EXPECT_EQ(rendered(), "file: hi") << "the file counts more; one newline at its end does not";
    EXPECT_EQ(rendered(true), "file: hi");
}

TEST_F(ModelTemplate, FromSeveralFiles) {
    write("chat_template.jinja", "plain");
    write("additional_chat_templates/tool_use.jinja", "tools");
    write("additional_chat_templates/rag.jinja", "documents");
    EXPECT_EQ(rendered(), "plain");
    EXPECT_EQ(rendered(true), "tools");
}

TEST_F(ModelTemplate, FromTheConfiguration) {
    write("tokenizer_config.json", R"({"chat_template": "{{ messages[0].role }}"})");
    EXPECT_EQ(rendered(), "user");
}

TEST_F(ModelTemplate, FromAListInTheConfiguration) {
    write("tokenizer_config.json",
          R"({"chat_template": [{"name": "default", "template": "plain"},
                                {"name": "tool_use", "template": "tools"}]})");
    EXPECT_EQ(rendered(), "plain");
    EXPECT_EQ(rendered(true), "tools");
}

TEST_F(ModelTemplate, FromAnObjectByName) {
    write("tokenizer_config.json",
          R"({"chat_template": {"default": "plain", "tool_use": "tools"}})");
    EXPECT_EQ(rendered(), "plain");
    EXPECT_EQ(rendered(true), "tools");
}

TEST_F(ModelTemplate, FromAJsonFileOfItsOwn) {
    write("tokenizer_config.json", "{}");
    write("chat_template.json", R"({"chat_template": "own"})");
    EXPECT_EQ(rendered(), "own");
}

TEST_F(ModelTemplate, FindsTokensByTheirNames) {
    write("tokenizer_config.json", R"({"extra_special_tokens": {"image_token": "<i>"},
        "boi_token": "<b>", "chat_template": "{{ image_token }}{{ boi_token }}"})");
    EXPECT_EQ(rendered(), "<i><b>");
}

TEST_F(ModelTemplate, WithoutADefaultSaysWhatThereIs) {
    write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": ""},
                                                         {"name": "tool_use", "template": "t"}]})");
    EXPECT_EQ(rendered(true), "t");
    EXPECT_THAT(failure(), AllOf(HasSubstr("(rag, tool_use) none is the default"),
                                 HasSubstr("--template FILE")));
}

TEST_F(ModelTemplate, WithoutAnySaysWhatToDo) {
    EXPECT_THAT(failure(), HasSubstr("no such directory"));
    write("tokenizer_config.json", R"({"chat_template": null})");
    EXPECT_THAT(failure(),
                AllOf(HasSubstr("the model has no chat template"), HasSubstr("--template FILE")));
}

TEST_F(ModelTemplate, ErrorsNameTheFile) {
    write("tokenizer_config.json", R"({"chat_template": 5})");
    EXPECT_THAT(failure(), AllOf(HasSubstr("expected a string"),
                                 HasSubstr("tokenizer_config.json, chat_template;")));
    write("tokenizer_config.json", R"({"chat_template": [{"name": "default"}]})");
    EXPECT_THAT(failure(), HasSubstr("chat_template[0].template' is missing"));
    write("tokenizer_config.json", R"({"chat_template": "\n{% if %}"})");
    EXPECT_THAT(failure(), HasSubstr("tokenizer_config.json, chat_template, line 2"));
    write("chat_template.jinja", "{{ 1 + 'a' }}");
    EXPECT_THAT(failure(), HasSubstr("chat_template.jinja, line 1"));
}

TEST_F(ModelTemplate, SpecialTokensAreVariables) {
    const std::string all =
        "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}|{{ unk_token is defined }}";
    write("chat_template.jinja", all);
    write(
        "tokenizer_config.json",
        R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "unk_token": null})");
    write("special_tokens_map.json", R"({"eos_token": "<other>", "pad_token": "<pad>"})");
    // Without an added_tokens_decoder, the older file wins.
    EXPECT_EQ(rendered(), "<s>|<other>|<pad>|False");

    ChatTemplate other = ChatTemplate::from_file(file("other.jinja", all), directory());
    other.set_special_token("bos_token", "<b>");
    EXPECT_EQ(other.render(request()), "<b>|<other>|<pad>|False");
    const ChatTemplate bare = ChatTemplate::from_file(path("other.jinja"), "");
    EXPECT_EQ(bare.render(request()), "|||False");

    write("tokenizer_config.json",
          R"({"bos_token": "<s>", "eos_token": "</s>", "added_tokens_decoder": {}})");
    EXPECT_EQ(rendered(), "<s>|</s>||False");
}

TEST_F(ModelTemplate, VariablesAreAsTransformersPassesThem) {
    write("chat_template.jinja",
          "{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ x }}{{ "
          "bos_token }}");
    ChatRequest all = request();
    const ChatTemplate chat = ChatTemplate::of_model(directory(), false);
    EXPECT_EQ(chat.render(all), "TrueTrueFalse");
    all.tools = jinja::from_json("[{}]", "tools");
    all.add_generation_prompt = true;
    all.variables = {{"x", jinja::Value::integer(1)}, {"bos_token", jinja::Value::string("B")}};
    EXPECT_EQ(chat.render(all), "FalseTrueTrue1B");
}

TEST_F(ModelTemplate, MessagesAreAsTransformersPassesThem) {
    write("chat_template.jinja", "{{ messages[0]|tojson }}");
    const ChatTemplate chat = ChatTemplate::of_model(directory(), false);
    EXPECT_EQ(chat.render(request(R"([{"role": "a", "content": null, "tool_calls": [null]}])")),
              R"({"role": "a", "tool_calls": [null]})");
    EXPECT_EQ(chat.render(request(R"([{"role": "a", "reasoning": "r"}])")),
              R"({"thinking": "r", "role": "a", "reasoning": "r", "reasoning_content": "r"})");
}

TEST_F(ModelTemplate, WhatAreNoMessagesIsRefused) {
    write("chat_template.jinja", "x");
    const ChatTemplate chat = ChatTemplate::of_model(directory(), false);
    const auto refused = [&](const std::string& messages, const std::string& tools) {
        ChatRequest bad = request(messages);
        if (!tools.empty()) bad.tools = jinja::from_json(tools, "tools");
        return message_of<UsageError>([&] { static_cast<void>(chat.render(bad)); });
    };
    EXPECT_THAT(refused("[]", ""), HasSubstr("the conversation is empty"));
    EXPECT_THAT(refused("{}", ""), HasSubstr("messages are no list of objects"));
    EXPECT_THAT(refused("[1]", ""), HasSubstr("messages are no list of objects"));
    EXPECT_THAT(refused("[{}]", "{}"), HasSubstr("tools are no list of objects"));
}

}  // namespace
}  // namespace lowkey
