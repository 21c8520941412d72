// A tokenizer's tokens stand in up to five files; one place puts them together.
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/tokenizer/golden.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"

namespace lowkey {
namespace {

using Ids = std::vector<int32_t>;

TEST(MergedTokens, FlagsOfTheConfigurationOverruleTokenizerJson) {
    const CopiedFolder folder("qwen2", {"tokenizer.json"});
    folder.write("tokenizer_config.json", R"({"added_tokens_decoder": {"3995": {
        "content": "<|im_start|>", "rstrip": true, "normalized": false, "special": true}}})");
    const auto tokenizer = Tokenizer::load(folder.path());
    EXPECT_EQ(tokenizer->encode("<|im_start|> \nuser", false), Ids({3995, 3315}));
}

TEST(MergedTokens, ConfigurationAddsTokens) {
    const CopiedFolder folder("qwen2", {"tokenizer.json"});
    folder.write("tokenizer_config.json",
                 R"({"additional_special_tokens": ["<|late|>"], "added_tokens_decoder": {
        "4000": {"content": "<|pad_image|>", "special": true},
        "4001": {"content": "<obs>", "normalized": false, "special": false}}})");
    const auto tokenizer = Tokenizer::load(folder.path());
    EXPECT_EQ(tokenizer->encode("a<|pad_image|>b<obs><|late|>", false),
              Ids({64, 4000, 65, 4001, 4002}));
    EXPECT_EQ(tokenizer->vocab_size(), 4003);
    EXPECT_TRUE(tokenizer->is_special(4000));
    EXPECT_FALSE(tokenizer->is_special(4001));
    EXPECT_EQ(tokenizer->decode(Ids({64, 4000, 4001}), true), "a<obs>");
}

TEST(MergedTokens, SpecialTokensMapCountsOnlyWithoutAddedTokensDecoder) {
    const CopiedFolder folder("qwen2", {"tokenizer.json"});
    folder.write("special_tokens_map.json", R"({"eos_token": "<|im_start|>"})");
    folder.write("tokenizer_config.json", R"({"eos_token": "<|im_end|>"})");
    EXPECT_EQ(Tokenizer::load(folder.path())->eos_id(), 3995);
    folder.write("tokenizer_config.json",
                 R"({"eos_token": "<|im_end|>", "added_tokens_decoder": {}})");
    EXPECT_EQ(Tokenizer::load(folder.path())->eos_id(), 3996);
}

TEST(MergedTokens, StandBesideASentencePieceModel) {
    const CopiedFolder folder("llama2", {"tokenizer.model"});
    folder.write("added_tokens.json", R"({"<|turn_end|>": 3000, "<|turn|>": 3001})");
    folder.write("tokenizer_config.json", R"({"eos_token": "<|turn_end|>"})");
    const auto tokenizer = Tokenizer::load(folder.path());
    EXPECT_EQ(tokenizer->encode("<|turn_end|><|turn|>", false), Ids({3000, 3001}));
    EXPECT_EQ(tokenizer->eos_id(), 3000);
    EXPECT_EQ(tokenizer->vocab_size(), 3002);
    auto ids = tokenizer->encode("Hello<|turn|>", false);
    EXPECT_EQ(tokenizer->decode(ids, true), "Hello<|turn|>");
    ids.push_back(3000);  // special: it has a name
    EXPECT_EQ(tokenizer->decode(ids, true), "Hello<|turn|>");
    EXPECT_EQ(tokenizer->decode(ids, false), "Hello<|turn|><|turn_end|>");
}

TEST(MergedTokens, RenamePlaceholders) {
    const CopiedFolder folder("llama2", {"tokenizer.model"});
    folder.write("tokenizer_config.json", R"({"added_tokens_decoder": {"2999": {
        "content": "<|tool|>", "normalized": false, "special": true}}})");
    const auto tokenizer = Tokenizer::load(folder.path());
    EXPECT_EQ(tokenizer->encode("<|tool|>", false), Ids({2999}));
    EXPECT_EQ(tokenizer->decode(Ids({2999}), false), "<|tool|>");
}

TEST(MergedTokens, NamesAreVariables) {
    const CopiedFolder folder("qwen2", {});
    folder.write("tokenizer_config.json", R"({"extra_special_tokens": {"image_token": "<i>"},
        "boi_token": "<b>", "pad_token": null, "add_bos_token": false})");
    const std::map<std::string, std::string> expected = {{"image_token", "<i>"},
                                                         {"boi_token", "<b>"}};
    EXPECT_EQ(read_tokenizer_config(folder.path()).role_tokens, expected);
}

TEST(VocabAndMerges, TokenizerClassDecides) {
    const CopiedFolder folder("opt", {"vocab.json", "merges.txt"});
    const auto encode = [&](const char* config) {
        folder.write("tokenizer_config.json", config);
        return Tokenizer::load(folder.path())->encode("IT'S  fine;\n\n\nxe\u0301 12", false);
    };
    const Ids gpt2 = encode(R"({"tokenizer_class": "GPT2Tokenizer"})");
    EXPECT_EQ(encode("{}"), gpt2);
    const Ids qwen2 = encode(R"({"tokenizer_class": "Qwen2TokenizerFast"})");
    EXPECT_NE(qwen2, gpt2);
    folder.write("config.json", R"({"model_type": "qwen2"})");
    EXPECT_EQ(encode("{}"), qwen2);
    try {
        encode(R"({"tokenizer_class": "LlamaTokenizer"})");
        ADD_FAILURE();
    } catch (const UnsupportedError& e) {
        EXPECT_NE(std::string(e.what()).find("'LlamaTokenizer'"), std::string::npos) << e.what();
    }
}

TEST(Tekken, SpecialTokensHaveTheFirstIds) {
    const CopiedFolder folder("opt", {});
    folder.write("tekken.json", R"({"config": {"pattern": "\\p{L}+|\\s", "default_vocab_size": 9,
        "default_num_special_tokens": 4}, "vocab": [
        {"rank": 0, "token_bytes": "YQ=="}, {"rank": 1, "token_bytes": "Yg=="},
        {"rank": 2, "token_bytes": "IA=="}, {"rank": 3, "token_bytes": "YWI="},
        {"rank": 4, "token_bytes": "YWJi"}, {"rank": 5, "token_bytes": "YmI="}],
        "special_tokens": [{"rank": 0, "token_str": "<unk>"}, {"rank": 2, "token_str": "</s>"},
        {"rank": 1, "token_str": "<s>"}]})");
    const auto tokenizer = Tokenizer::load(folder.path());
    EXPECT_EQ(tokenizer->encode("abb ab</s>", true), Ids({1, 8, 6, 7, 2}));
    EXPECT_EQ(tokenizer->encode("bb", false), Ids({5, 5})) << "beyond default_vocab_size";
    EXPECT_EQ(tokenizer->decode(Ids({8, 6, 4}), false), "abb a");
    EXPECT_EQ(tokenizer->token_id("<SPECIAL_3>"), 3);
    EXPECT_EQ(tokenizer->eos_id(), 2);
    folder.write("tekken.json", R"({"config": {"pattern": "a"}, "vocab": [{"token_bytes": "?"}]})");
    EXPECT_THROW(Tokenizer::load(folder.path()), FileError);
}

}  // namespace
}  // namespace lowkey
