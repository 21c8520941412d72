#include <gtest/gtest.h>

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

TEST(SentencePieceTokenizer, SpecialTokensInTextStayText) {
    const CopiedFolder folder("llama2", {"tokenizer.model"});
    const auto tokenizer = Tokenizer::load(folder.path());
    EXPECT_EQ(tokenizer->decode(tokenizer->encode("a</s>b", false), true), "a</s>b");
    EXPECT_TRUE(tokenizer->is_special(0));
    EXPECT_TRUE(tokenizer->is_special(2));
    EXPECT_FALSE(tokenizer->is_special(3));
    EXPECT_EQ(tokenizer->token_id("</s>"), 2);
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
