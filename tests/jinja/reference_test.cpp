// Against jinja2 in the settings of transformers: see make_cases.py.
#include <fstream>
#include <string>

#include "tests/jinja/render.h"

namespace lowkey {
namespace {

TEST(Reference, RendersTheSame) {
    std::ifstream in(LOWKEY_TEST_DATA "/jinja/cases.jsonl");
    std::string line;
    ASSERT_TRUE(std::getline(in, line));
    const jinja::Value variables = jinja::from_json(line, "variables");
    int count = 0;
    while (std::getline(in, line)) {
        ++count;
        const jinja::Value fields = jinja::from_json(line, "case");
        const std::string& source = fields.dict().find("template")->str();
        const jinja::Value* expected = fields.dict().find("text");
        try {
            const std::string text = jinja::Template(source, "t.jinja").render(variables.dict());
            if (expected == nullptr) {
                ADD_FAILURE() << source << "\nis refused by jinja2, but gives: " << text;
            } else {
                EXPECT_EQ(text, expected->str()) << source;
            }
        } catch (const Error& error) {
            EXPECT_EQ(expected, nullptr) << source << "\n" << error.what();
        }
    }
    EXPECT_GT(count, 1300);
}

}  // namespace
}  // namespace lowkey
