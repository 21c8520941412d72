#include <gtest/gtest.h>

#include "tests/tokenizer/golden.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using Ids = std::vector<int32_t>;

// Tokenizers whose tokenizer.json the library `tokenizers` ran.
class TokenizerJson : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerJson, EncodesAsTheReference) {
    const auto tokenizer = Tokenizer::load(golden_folder(GetParam()));
    const auto cases = golden_lines(GetParam(), "cases.jsonl");
    ASSERT_EQ(cases.size(), 163);
    for (const auto& c : cases) {
        const auto text = c.at("text").get<std::string>();
        EXPECT_EQ(tokenizer->encode(text, false), c.at("ids").get<Ids>()) << text;
        EXPECT_EQ(tokenizer->encode(text, true), c.at("ids_special").get<Ids>()) << text;
    }
}

TEST_P(TokenizerJson, DecodesAsTheReference) {
    const auto tokenizer = Tokenizer::load(golden_folder(GetParam()));
    for (const auto& c : golden_lines(GetParam(), "cases.jsonl")) {
        EXPECT_EQ(tokenizer->decode(c.at("ids").get<Ids>(), false),
                  c.at("decoded").get<std::string>());
    }
    const auto cases = golden_lines(GetParam(), "decode.jsonl");
    ASSERT_EQ(cases.size(), 24);
    for (const auto& c : cases) {
        const auto ids = c.at("ids").get<Ids>();
        EXPECT_EQ(tokenizer->decode(ids, false), c.at("decoded").get<std::string>());
        EXPECT_EQ(tokenizer->decode(ids, true), c.at("decoded_skip_special").get<std::string>());
    }
}

INSTANTIATE_TEST_SUITE_P(Golden, TokenizerJson,
                         ::testing::Values("llama3", "opt", "qwen2", "neox", "deepseek", "falcon",
                                           "llama2"),
                         [](const auto& which) { return std::string(which.param); });

struct SentencePieceCase {
    const char* name;
    const char* ids;  // of texts whose special tokens are text
    const char* decoded;
};

class SentencePieceModel : public ::testing::TestWithParam<SentencePieceCase> {};

TEST_P(SentencePieceModel, AgreesWithTheReference) {
    const auto& which = GetParam();
    const CopiedFolder folder(which.name, {"tokenizer.model", "tokenizer_config.json"});
    const auto tokenizer = Tokenizer::load(folder.path());
    const auto cases = golden_lines(which.name, "cases.jsonl");
    ASSERT_EQ(cases.size(), 163);
    for (const auto& c : cases) {
        const auto text = c.at("text").get<std::string>();
        auto ids = c.at(which.ids).get<Ids>();
        EXPECT_EQ(tokenizer->encode(text, false, SpecialText::kPlain), ids) << text;
        EXPECT_EQ(tokenizer->decode(ids, false), c.at(which.decoded).get<std::string>());
        ids.insert(ids.begin(), 1);
        EXPECT_EQ(tokenizer->encode(text, true, SpecialText::kPlain), ids) << text;
    }
    const auto decode_cases = golden_lines(which.name, "decode.jsonl");
    ASSERT_EQ(decode_cases.size(), 24);
    for (const auto& c : decode_cases) {
        EXPECT_EQ(tokenizer->decode(c.at("ids").get<Ids>(), false),
                  c.at(which.decoded).get<std::string>());
    }
}

INSTANTIATE_TEST_SUITE_P(Golden, SentencePieceModel,
                         ::testing::Values(SentencePieceCase{"llama2", "sp_ids", "sp_decoded"},
                                           SentencePieceCase{"unigram", "ids", "decoded"}),
                         [](const auto& which) { return std::string(which.param.name); });

// As its tokenizer.json does.
TEST(SentencePieceModel, ParsesControlTokensInTexts) {
    const CopiedFolder folder("llama2", {"tokenizer.model", "tokenizer_config.json"});
    const auto tokenizer = Tokenizer::load(folder.path());
    for (const auto& c : golden_lines("llama2", "cases.jsonl")) {
        const auto text = c.at("text").get<std::string>();
        EXPECT_EQ(tokenizer->encode(text, false), c.at("ids").get<Ids>()) << text;
    }
}

TEST(VocabAndMerges, EncodeAsTokenizerJson) {
    const CopiedFolder folder(
        "opt", {"vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"});
    const auto tokenizer = Tokenizer::load(folder.path());
    size_t compared = 0;
    for (const auto& c : golden_lines("opt", "cases.jsonl")) {
        const auto text = c.at("text").get<std::string>();
        // These files do not say that <s> and <unk> are special.
        if (text.find("<s>") != std::string::npos || text.find("<unk>") != std::string::npos)
            continue;
        ++compared;
        EXPECT_EQ(tokenizer->encode(text, false), c.at("ids").get<Ids>()) << text;
        EXPECT_EQ(tokenizer->encode(text, true), c.at("ids_special").get<Ids>()) << text;
        EXPECT_EQ(tokenizer->decode(c.at("ids").get<Ids>(), false),
                  c.at("decoded").get<std::string>());
    }
    EXPECT_GT(compared, 140);
    EXPECT_EQ(tokenizer->bos_id(), 2);
    EXPECT_EQ(tokenizer->eos_id(), 2);
}

struct RoleCase {
    const char* name;
    std::optional<std::string> bos;
    std::optional<std::string> eos;
    int64_t vocab_size;
};

TEST(TokenizerConfig, NamesBosAndEos) {
    const RoleCase cases[] = {
        {"llama3", "<|begin_of_text|>", "<|end_of_text|>", 4000},
        {"opt", "</s>", "</s>", 3000},
        {"qwen2", std::nullopt, "<|im_end|>", 4000},
        {"neox", "<|endoftext|>", "<|endoftext|>", 3000},
        {"deepseek", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", 3500},
        {"falcon", std::nullopt, "<|endoftext|>", 2500},
        {"llama2", "<s>", "</s>", 3000},
        {"unigram", "<s>", "</s>", 2500},
    };
    for (const RoleCase& c : cases) {
        const auto tokenizer = Tokenizer::load(golden_folder(c.name));
        const auto id = [&](const std::optional<std::string>& token) {
            return token ? tokenizer->token_id(*token) : std::nullopt;
        };
        EXPECT_EQ(tokenizer->bos_id(), id(c.bos)) << c.name;
        EXPECT_EQ(tokenizer->eos_id(), id(c.eos)) << c.name;
        ASSERT_TRUE(tokenizer->eos_id()) << c.name;
        EXPECT_TRUE(tokenizer->is_special(*tokenizer->eos_id())) << c.name;
        EXPECT_EQ(tokenizer->vocab_size(), c.vocab_size) << c.name;
        EXPECT_EQ(tokenizer->token_id("no such token"), std::nullopt) << c.name;
    }
}

}  // namespace
}  // namespace lowkey
