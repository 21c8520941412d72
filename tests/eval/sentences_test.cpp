#include "eval/sentences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "eval/needle.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string repeat(const std::string& text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
}

/// Texts of kinds that have no sentences as prose has them.
std::map<std::string, std::string> odd_texts() {
    return {{"code", repeat("for (int i = 0; i < n; ++i) {\n    total += a[i] * b[i];\n}\n", 120)},
            {"table", repeat("17\t4\t2024-11-03\tOslo\n", 200)},
            {"Chinese", repeat("船在黎明时分驶进港湾，那里一个人也没有。", 80)},
            {"Chinese words", repeat("船在黎明时分驶进港湾那里一个人也没有", 80)},
            {"words", repeat("boat dawn harbour letter lamp ", 400)},
            {"one word", repeat("abc", 2000)}};
}

TEST(Sentences, ANeedleLiesWhereItWasAskedForInAnyText) {
    const auto tokenizer = Tokenizer::load(LOWKEY_SMALL_MODEL);
    for (const auto& [kind, text] : odd_texts()) {
        const std::vector<std::string> texts = {text};
        const std::vector<int32_t> hay = tokenize_haystack(*tokenizer, texts);
        for (const double depth : {0.0, 0.25, 0.5, 0.75, 1.0}) {
            const NeedlePrompt prompt = make_needle_prompt(*tokenizer, hay, 600, depth, {}, 1);
            const std::string all = tokenizer->decode(prompt.text, true);
            const size_t at = all.find("One of the special magic numbers");
            ASSERT_NE(at, std::string::npos) << kind;
            const auto before = std::ssize(tokenizer->encode(all.substr(0, at), false));
            const auto behind = std::ssize(tokenizer->encode(all.substr(at), false));
            // The needle itself is some 25 tokens of those behind.
            EXPECT_NEAR(static_cast<double>(before) / static_cast<double>(before + behind - 25),
                        depth, 0.12)
                << kind;
            // The first half of a character would be spelled as U+FFFD.
            const size_t seen = std::min<size_t>(at, 20);
            EXPECT_THAT(all.substr(at - seen, seen), Not(HasSubstr("\xEF\xBF\xBD"))) << kind;
        }
    }
}

TEST(Sentences, PlacesAreBehindTheEndsOfSentencesThatAreNear) {
    const auto tokenizer = Tokenizer::load(LOWKEY_SMALL_MODEL);
    const std::vector<int32_t> prose =
        tokenizer->encode(repeat("The boat came in at dawn and nobody was there. ", 60), false);
    for (int64_t at = 0; at <= std::ssize(prose); at += 7) {
        const int64_t place = place_for_sentence(*tokenizer, prose, at);
        EXPECT_LE(place, at);
        EXPECT_GE(place, at - 20);
        const auto before = std::span(prose).first(static_cast<size_t>(place));
        if (place > 0) {
            EXPECT_TRUE(tokenizer->decode(before, false).ends_with(".")) << at;
        }
    }
    EXPECT_EQ(place_for_sentence(*tokenizer, {}, 0), 0);
}

TEST(Sentences, TextsAreSplitWhereSentencesEnd) {
    const std::vector<std::string> texts = {"One  is\nhere. Two? 3.5 is no end! ", "Another text"};
    EXPECT_THAT(split_sentences(texts),
                ElementsAre("One is here.", "Two?", "3.5 is no end!", "Another text"));
    EXPECT_THAT(split_sentences(std::vector<std::string>{"船来了。没有人！好"}),
                ElementsAre("船来了。", "没有人！", "好"));
    EXPECT_THAT(split_sentences(std::vector<std::string>{"", " \n"}), ElementsAre());
}

TEST(Sentences, WhatHasNoSentencesIsCutAllTheSame) {
    for (const auto& [kind, text] : odd_texts()) {
        const std::vector<std::string> texts = {text};
        const auto sentences = split_sentences(texts);
        EXPECT_GT(sentences.size(), text.size() / 350) << kind;
        std::string joined;
        for (const std::string& sentence : sentences) {
            EXPECT_LE(sentence.size(), 310) << kind;
            joined += sentence;
        }
        std::erase_if(joined, [](char c) { return c == ' '; });
        std::string whole = text;
        std::erase_if(whole, [](char c) {
            return std::string_view(" \n\t").find(c) != std::string_view::npos;
        });
        EXPECT_EQ(joined, whole) << kind;
    }
}

}  // namespace
}  // namespace lowkey
