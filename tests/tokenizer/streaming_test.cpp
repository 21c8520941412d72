#include <gtest/gtest.h>

#include <ctime>
#include <random>

#include "tests/tokenizer/golden.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using Ids = std::vector<int32_t>;

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip_special_tokens) {
    const auto decoder = tokenizer.stream(skip_special_tokens);
    std::string text;
    for (const int32_t id : ids) text += decoder->push(id);
    return text + decoder->finish();
}

// Folders with what to load of them.
struct Source {
    const char* name;
    std::vector<std::string> files;
};
const Source kSources[] = {
    {"llama3", {"tokenizer.json"}},
    {"opt", {"vocab.json", "merges.txt", "tokenizer_config.json"}},
    {"qwen2", {"tokenizer.json"}},
    {"neox", {"tokenizer.json"}},
    {"deepseek", {"tokenizer.json"}},
    {"falcon", {"tokenizer.json"}},
    {"llama2", {"tokenizer.json"}},
    {"llama2", {"tokenizer.model"}},
    {"unigram", {"tokenizer.model"}},
};

TEST(TextStream, JoinedPushesAreDecodeOfAll) {
    for (const Source& source : kSources) {
        const CopiedFolder folder(source.name, source.files);
        const auto tokenizer = Tokenizer::load(folder.path());
        const auto check = [&](const Ids& ids) {
            for (const bool skip : {false, true}) {
                ASSERT_EQ(streamed(*tokenizer, ids, skip), tokenizer->decode(ids, skip))
                    << source.name << " " << ::testing::PrintToString(ids);
            }
        };
        for (const char* file : {"cases.jsonl", "decode.jsonl"}) {
            for (const auto& c : golden_lines(source.name, file)) check(c.at("ids").get<Ids>());
        }
        std::mt19937 random(5);
        const auto end = static_cast<int32_t>(tokenizer->vocab_size()) + 2;
        for (int i = 0; i < 300; ++i) {
            Ids ids(random() % 12);
            // Half of them of low ids, where special tokens and single bytes are.
            for (int32_t& id : ids) {
                id = static_cast<int32_t>(random() % (random() % 2 == 0 ? 300 : end)) - 1;
            }
            check(ids);
        }
    }
}

TEST(TextStream, GivesWholeCharacters) {
    const auto tokenizer = Tokenizer::load(golden_folder("qwen2"));
    const std::string text = "naïve 你好 😀!";
    const auto ids = tokenizer->encode(text, false);
    const auto decoder = tokenizer->stream(false);
    std::string so_far;
    for (const int32_t id : ids) {
        so_far += decoder->push(id);
        EXPECT_EQ(so_far, text.substr(0, so_far.size()));  // no U+FFFD for what comes later
    }
    EXPECT_EQ(so_far, text);
    EXPECT_EQ(decoder->finish(), "");
}

TEST(TextStream, CostOfATokenDoesNotGrow) {
    for (const Source& source : kSources) {
        const CopiedFolder folder(source.name, source.files);
        const auto tokenizer = Tokenizer::load(folder.path());
        const auto ids = tokenizer->encode("The quick brown fox 😀 jumps. ", false);
        const auto decoder = tokenizer->stream(false);
        const std::clock_t start = std::clock();
        for (size_t i = 0; i < 200'000; ++i) decoder->push(ids[i % ids.size()]);
        // 0.2 s; a decoder that looks back at all tokens would take hours.
        EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 30) << source.name;
    }
}

}  // namespace
}  // namespace lowkey
