// Chat templates in the style of published ones against transformers' apply_chat_template.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "chat/chat_template.h"
#include "jinja/json.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using jinja::Dict;
using jinja::Value;

class GoldenChat : public TemporaryFolder {
protected:
    [[nodiscard]] ChatTemplate load(const Dict& entry) const {
        ChatTemplate out = ChatTemplate::from_file(
            file("chat.jinja", entry.find("template")->str()), /*directory=*/"");
        for (const char* name : {"bos_token", "eos_token"}) {
            const Value& token = *entry.find(name);
            if (token.is_string()) out.set_special_token(name, token.str());
        }
        return out;
    }
    static ChatRequest request(const Dict& c) {
        ChatRequest out;
        out.messages = *c.find("messages");
        if (!c.find("tools")->is_none()) out.tools = *c.find("tools");
        out.add_generation_prompt = truthy(*c.find("add_generation_prompt"));
        for (const auto& [name, value] : c.find("kwargs")->dict().entries()) {
            out.variables.emplace_back(name.str(), value);
        }
        return out;
    }
};

TEST_F(GoldenChat, EveryConversationIsWrittenAsTheReferenceWritesIt) {
    const std::string path = std::string(LOWKEY_TEST_DATA) + "/chat/cases.json";
    std::ifstream in(path);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const Value cases = jinja::from_json(text, path);
    std::map<std::string, ChatTemplate> templates;
    for (const Value& entry : cases.dict().find("templates")->items()) {
        templates.emplace(entry.dict().find("name")->str(), load(entry.dict()));
    }
    const auto& rows = cases.dict().find("cases")->items();
    ASSERT_EQ(rows.size(), 360);
    for (const Value& row : rows) {
        const Dict& c = row.dict();
        const std::string& name = c.find("template")->str();
        try {
            const std::string rendered = templates.at(name).render(request(c));
            ASSERT_NE(c.find("text"), nullptr) << name;
            EXPECT_EQ(rendered, c.find("text")->str()) << name;
        } catch (const Error& error) {
            ASSERT_NE(c.find("error"), nullptr) << name << ": " << error.what();
            EXPECT_THAT(error.what(), ::testing::StartsWith(c.find("error")->str() + ": "));
        }
    }
}

}  // namespace
}  // namespace lowkey
