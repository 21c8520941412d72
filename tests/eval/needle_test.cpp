#include "eval/needle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

class Needle : public ::testing::Test {
protected:
    static std::string hay() {
        std::string text;
        for (int i = 0; i < 400; ++i)
            text += "The boat came in at dawn and nobody was there to see it. ";
        return text;
    }
    [[nodiscard]] NeedlePrompt make(int64_t length, double depth, uint64_t seed = 1) const {
        return make_needle_prompt(*tokenizer_, tokens_, length, depth, options_, seed);
    }
    [[nodiscard]] std::string text_of(const NeedlePrompt& prompt) const {
        return tokenizer_->decode(prompt.text, true);
    }

    std::shared_ptr<const Tokenizer> tokenizer_ = Tokenizer::load(LOWKEY_SMALL_MODEL);
    std::vector<std::string> texts_ = {hay(), hay()};
    std::vector<int32_t> tokens_ = tokenize_haystack(*tokenizer_, texts_);
    NeedleOptions options_;
};

TEST_F(Needle, PromptsHaveTheLengthAndHoldTheAnswerOnce) {
    for (const NeedleKind kind : {NeedleKind::kNumber, NeedleKind::kSentence}) {
        options_.kind = kind;
        for (const int64_t needles : {1, 4, 8}) {
            options_.needles = needles;
            for (const int64_t length : {400, 777, 2000}) {
                const NeedlePrompt prompt = make(length, 0.5);
                EXPECT_EQ(std::ssize(prompt.text) + std::ssize(prompt.question), length);
                const std::string text = text_of(prompt);
                const size_t at = text.find(prompt.answer);
                ASSERT_NE(at, std::string::npos);
                EXPECT_EQ(text.find(prompt.answer, at + 1), std::string::npos);
                EXPECT_EQ(tokenizer_->decode(prompt.question, true).find(prompt.answer),
                          std::string::npos);
                EXPECT_EQ(prompt.text.front(), tokenizer_->encode("", true).front());
            }
        }
    }
}

TEST_F(Needle, DepthIsWhereTheNeedleLies) {
    double last = -1;
    for (const double depth : {0.0, 0.25, 0.5, 0.75, 1.0}) {
        const NeedlePrompt prompt = make(2000, depth);
        const std::string text = text_of(prompt);
        const double place = static_cast<double>(text.find("One of the special magic numbers")) /
                             static_cast<double>(text.size());
        EXPECT_GT(place, last);
        EXPECT_NEAR(place, depth, 0.06);
        last = place;
        // Whole sentences stand around it.
        const size_t needle = text.find("One of");
        EXPECT_TRUE(needle < 3 || text.substr(needle - 2, 1) == ".") << text.substr(needle - 9, 20);
    }
}

TEST_F(Needle, SeedsMakePromptsAndRepeatThem) {
    EXPECT_EQ(make(500, 0.5, 3).text, make(500, 0.5, 3).text);
    EXPECT_NE(make(500, 0.5, 3).answer, make(500, 0.5, 4).answer);
}

TEST_F(Needle, TheFirstNumberIsTheAnswer) {
    EXPECT_TRUE(answers(" 1234567.", "1234567"));
    EXPECT_TRUE(answers(" the number 1234567 and 7", "1234567"));
    EXPECT_FALSE(answers(" 12345678.", "1234567"));
    EXPECT_FALSE(answers(" 7, no, 1234567", "1234567"));
    EXPECT_FALSE(answers(" unknown", "1234567"));
    EXPECT_FALSE(answers("", "1"));
}

TEST_F(Needle, RefusesWhatCannotBe) {
    const auto refusal = [&](auto&& change) -> std::string {
        NeedleOptions options;
        options.lengths = {500};
        change(options);
        const auto model = Model::load(LOWKEY_SMALL_MODEL);
        Engine engine(model, CachePlan::dense(6, 4));
        try {
            static_cast<void>(evaluate_needle(engine, *tokenizer_, texts_, options));
        } catch (const Error& e) {
            return e.what();
        }
        return "nothing was refused";
    };
    using Options = NeedleOptions;
    EXPECT_THAT(refusal([](Options& o) { o.lengths = {500, 40000}; }), HasSubstr("haystack has"));
    EXPECT_THAT(refusal([](Options& o) { o.lengths = {20}; }), HasSubstr("--lengths"));
    EXPECT_THAT(refusal([](Options& o) { o.lengths = {}; }), HasSubstr("--lengths"));
    EXPECT_THAT(refusal([](Options& o) { o.depths = {}; }), HasSubstr("--depths"));
    EXPECT_THAT(refusal([](Options& o) { o.depths = {1.5}; }), HasSubstr("a depth of 1.5"));
    EXPECT_THAT(refusal([](Options& o) { o.needles = 0; }), HasSubstr("--needles"));
    EXPECT_THAT(refusal([](Options& o) { o.needles = 100000; }), HasSubstr("--needles"));
    EXPECT_THAT(refusal([](Options& o) { o.trials = 0; }), HasSubstr("--trials"));
}

TEST_F(Needle, TheBuiltInModelFindsSome) {
    const auto model = Model::load(LOWKEY_SMALL_MODEL);
    Engine engine(model, CachePlan::dense(6, 4));
    options_.lengths = {300};
    options_.depths = {0.5, 1};
    options_.trials = 3;
    int64_t reported = 0;
    ItemOptions how;
    how.on_progress = [&](const ItemProgress& now) {
        EXPECT_EQ(now.total, 6);
        EXPECT_EQ(now.done, reported++);
    };
    const NeedleResult result = evaluate_needle(engine, *tokenizer_, texts_, options_, how);
    EXPECT_EQ(result.grid.size(), 2);
    EXPECT_GE(result.mean, 0.5) << "of 6; a model that cannot retrieve finds none";
    EXPECT_GE(result.cache.tokens, 300);
    // Through the cache token by token, an uncompressed cache answers the same.
    options_.decode_question = true;
    const NeedleResult decoded = evaluate_needle(engine, *tokenizer_, texts_, options_);
    EXPECT_EQ(decoded.mean, result.mean);
}

}  // namespace
}  // namespace lowkey
