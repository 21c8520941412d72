// `lowkey template`: what scripts rely on, and its errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/program.h"

namespace lowkey {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class TemplateCommand : public Program {
protected:
    std::string template_ = file(
        "t.jinja",
        "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n"
        "{% endfor %}{{ tools|tojson }}{{ x|tojson }}{{ 'assistant:' if add_generation_prompt }}");
    std::string messages_ = file("m.json", R"([{"role": "user", "content": "héllo"}])");
};

TEST_F(TemplateCommand, PrintsThePromptAndNothingElse) {
    const Result result =
        run({"template", "--template", template_, "--bos-token", "<s>", "--eos-token", "</s>",
             "--messages", messages_, "--tools", file("tools.json", R"([{"z": 1, "a": "é"}])"),
             "--add-generation-prompt", "--set", R"(x={"b": [1.0, null]})"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out,
              "<s>user: héllo</s>\n[{\"z\": 1, \"a\": \"é\"}]{\"b\": [1.0, null]}assistant:");
    EXPECT_EQ(json_of({"template", "--template", template_, "--messages", messages_, "--set", "x=1",
                       "--set", "tools=2"}),
              nlohmann::json({{"text", "user: héllo\n21"}}));
}

TEST_F(TemplateCommand, TakesTheModelsTemplateAndTokens) {
    static_cast<void>(file("model/chat_template.jinja", "model: {{ bos_token }}"));
    static_cast<void>(file("model/tokenizer_config.json", R"({"bos_token": "<model>"})"));
    const auto text = [&](std::vector<std::string> more) {
        std::vector<std::string> all = {"template", path("model"), "--messages", messages_};
        all.insert(all.end(), more.begin(), more.end());
        return json_of(all).at("text").get<std::string>();
    };
    EXPECT_EQ(text({}), "model: <model>");
    EXPECT_EQ(text({"--bos-token", "B"}), "model: B");
    EXPECT_EQ(text({"--template", file("own.jinja", "own: {{ bos_token }}")}), "own: <model>");
}

TEST_F(TemplateCommand, ReadsMessagesFromStandardInput) {
    const Result result =
        run({"template", "--template", file("t", "{{ messages[0].a }}"), "--messages", "-"},
            R"([{"a": "piped"}])");
    EXPECT_EQ(result.out, "piped");
}

TEST_F(TemplateCommand, WhatTheTemplateRefusesIsSaid) {
    const std::string strict =
        file("strict.jinja", "\n{{ raise_exception('roles must alternate') }}");
    EXPECT_THAT(
        refusal({"template", "--template", strict, "--messages", messages_}, 1),
        AllOf(HasSubstr("error: roles must alternate: "), HasSubstr("strict.jinja, line 2")));
}

TEST_F(TemplateCommand, ErrorsNameTheFile) {
    const auto with = [&](const std::string& chat_template, const std::string& messages,
                          const std::vector<std::string>& more = {}) {
        std::vector<std::string> all = {"template", "--template", chat_template, "--messages",
                                        messages};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    };
    EXPECT_THAT(refusal(with(path("none"), messages_), 1), HasSubstr(path("none")));
    EXPECT_THAT(refusal(with(template_, path("none")), 1), HasSubstr(path("none")));
    EXPECT_THAT(refusal(with(file("bad.jinja", "{% if %}"), messages_), 1),
                HasSubstr("bad.jinja, line 1"));
    EXPECT_THAT(refusal(with(template_, file("bad.json", "[{]")), 1),
                AllOf(HasSubstr("not valid JSON"), HasSubstr("bad.json")));
    EXPECT_THAT(refusal(with(template_, file("bad.json", "{}")), 1),
                AllOf(HasSubstr("expected a JSON list of messages"), HasSubstr("bad.json")));
    EXPECT_THAT(refusal(with(template_, file("bad.json", "[]")), 1),
                AllOf(HasSubstr("the conversation is empty"), HasSubstr("bad.json")));
    EXPECT_THAT(refusal(with(template_, messages_, {"--tools", file("bad.json", "[1]")}), 1),
                AllOf(HasSubstr("expected a JSON list of tools"), HasSubstr("bad.json")));
    EXPECT_THAT(refusal(with(template_, messages_, {"--set", "x"}), 2), HasSubstr("--set x"));
    EXPECT_THAT(refusal(with(template_, messages_, {"--set", "x=y"}), 1),
                AllOf(HasSubstr("not valid JSON"), HasSubstr("--set x")));
    EXPECT_THAT(refusal({"template", "--messages", messages_}, 2), HasSubstr("no template"));
    EXPECT_THAT(refusal({"template", "--template", template_}, 2), HasSubstr("--messages"));
    EXPECT_THAT(refusal({"template", "small", "--messages", messages_}, 1),
                AllOf(HasSubstr("has no chat template"), HasSubstr("--template FILE")));
}

}  // namespace
}  // namespace lowkey
