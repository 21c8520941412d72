#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "tests/tokenizer/golden.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

TEST(SentencePieceTokenizer, ConfigDecidesOnBosAndEos) {
    const CopiedFolder folder("llama2", {"tokenizer.model"});
    const auto plain = Tokenizer::load(folder.path())->encode("Hello", false);
    const auto with = [&](bool bos, bool eos) {
        auto ids = plain;
        if (bos) ids.insert(ids.begin(), 1);
        if (eos) ids.push_back(2);
        return ids;
    };
    EXPECT_EQ(Tokenizer::load(folder.path())->encode("Hello", true), with(true, false));
    folder.write("tokenizer_config.json", R"({"add_bos_token": false, "add_eos_token": true})");
    EXPECT_EQ(Tokenizer::load(folder.path())->encode("Hello", true), with(false, true));
}

TEST(SentencePieceTokenizer, SpecialTokensInTextAreParsedUnlessToldOtherwise) {
    const CopiedFolder folder("llama2", {"tokenizer.model"});
    const auto tokenizer = Tokenizer::load(folder.path());
    const auto parsed = tokenizer->encode("a</s>b", false);
    EXPECT_EQ(std::count(parsed.begin(), parsed.end(), 2), 1);
    const auto plain = tokenizer->encode("a</s>b", false, SpecialText::kPlain);
    EXPECT_EQ(tokenizer->decode(plain, true), "a</s>b");
    EXPECT_TRUE(tokenizer->is_special(0));
    EXPECT_TRUE(tokenizer->is_special(2));
    EXPECT_FALSE(tokenizer->is_special(3));
    EXPECT_EQ(tokenizer->token_id("</s>"), 2);
}

TEST(SentencePieceTokenizer, LegacyDecidesWhereTheSpaceStands) {
    const CopiedFolder folder("llama2", {"tokenizer.model"});
    const auto load = [&](const char* config) {
        folder.write("tokenizer_config.json", config);
        return Tokenizer::load(folder.path());
    };
    const auto always = load(R"({"legacy": true})");
    const auto first = load(R"({"legacy": false})");
    const auto hello = always->encode("Hello", false);
    EXPECT_EQ(first->encode("Hello", false), hello);
    auto behind = hello;
    behind.insert(behind.begin(), 1);
    EXPECT_EQ(always->encode("<s>Hello", false), behind);
    EXPECT_NE(first->encode("<s>Hello", false), behind);
    EXPECT_EQ(first->decode(first->encode("x<s>Hello", false), true), "xHello");
}

TEST(SentencePieceTokenizer, TokenizerJsonCountsMore) {
    const CopiedFolder both("llama2", {"tokenizer.model", "tokenizer.json"});
    EXPECT_EQ(Tokenizer::load(both.path())->encode("</s>", false), std::vector<int32_t>({2}));
}

TEST(SentencePieceTokenizer, MalformedModelsAreFileErrors) {
    const CopiedFolder folder("llama2", {"tokenizer.model"});
    std::stringstream text;
    text << std::ifstream(folder.path() + "/tokenizer.model", std::ios::binary).rdbuf();
    // A piece that begins with a zero byte: the library's trie throws.
    const std::string zero_piece(
        "\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02\n\x0c\n\x03\0<>\x15\0\0s\0\x18\n", 30);
    for (const std::string& bad : {std::string(), std::string("no model"), std::string(100, '\0'),
                                   text.str().substr(0, text.str().size() / 2), zero_piece}) {
        folder.write("tokenizer.model", bad);
        try {
            Tokenizer::load(folder.path());
            ADD_FAILURE() << bad.size();
        } catch (const FileError& e) {
            EXPECT_NE(std::string(e.what()).find("tokenizer.model"), std::string::npos) << e.what();
        }
    }
}

}  // namespace
}  // namespace lowkey
