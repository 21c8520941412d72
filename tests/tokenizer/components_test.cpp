// Single components against the library `tokenizers`: see make_component_cases.py.
#include <gtest/gtest.h>

#include "tests/tokenizer/golden.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using Ids = std::vector<int32_t>;
using nlohmann::json;

// What a line tests, for messages: all but the model and the empty members.
std::string describe(json tokenizer) {
    if (tokenizer.at("pre_tokenizer").is_null() && tokenizer.at("normalizer").is_null())
        tokenizer["model"].erase("vocab");
    else
        tokenizer.erase("model");
    return tokenizer.dump().substr(0, 500);
}

TEST(Components, DoAsTheReference) {
    auto lines = golden_lines(".", "components.jsonl");
    ASSERT_GT(lines.size(), 100);
    const CopiedFolder folder("opt", {});
    for (json& line : lines) {
        json& document = line.at("tokenizer");
        if (document.at("model").is_number()) {
            const auto number = document.at("model").get<size_t>();
            document["model"] = lines.at(number).at("tokenizer").at("model");
        }
        folder.write("tokenizer.json", document.dump());
        const auto tokenizer = Tokenizer::load(folder.path());
        for (const json& c : line.at("cases")) {
            const auto text = c.at("text").get<std::string>();
            const auto ids = c.at("ids").get<Ids>();
            EXPECT_EQ(tokenizer->encode(text, false), ids) << text << "\n" << describe(document);
            EXPECT_EQ(tokenizer->encode(text, true), c.at("ids_special").get<Ids>())
                << text << "\n"
                << describe(document);
            EXPECT_EQ(tokenizer->decode(ids, false), c.at("decoded").get<std::string>())
                << text << "\n"
                << describe(document);
            const auto stream = tokenizer->stream(false);
            std::string streamed;
            for (const int32_t id : ids) streamed += stream->push(id);
            EXPECT_EQ(streamed + stream->finish(), c.at("decoded").get<std::string>())
                << text << "\n"
                << describe(document);
        }
    }
}

}  // namespace
}  // namespace lowkey
