#include "eval/ruler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "tests/io/temporary_folder.h"
#include "tests/model/golden.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Ruler : public TemporaryFolder {
protected:
    [[nodiscard]] RulerPrompt make(const std::string& task, int64_t length,
                                   uint64_t seed = 1) const {
        return make_ruler_prompt(*tokenizer_, task, sentences_, length, seed);
    }
    [[nodiscard]] std::string text_of(const RulerPrompt& prompt) const {
        return tokenizer_->decode(prompt.tokens, true);
    }

    std::shared_ptr<const Tokenizer> tokenizer_ = Tokenizer::load(LOWKEY_SMALL_MODEL);
    std::vector<std::string> sentences_;
};

TEST_F(Ruler, PromptsFillTheLengthAndHoldAllAnswers) {
    const std::map<std::string, size_t> answers = {
        {"niah_single", 1}, {"niah_multikey", 1}, {"niah_multivalue", 4}, {"niah_multiquery", 4},
        {"vt", 5},          {"cwe", 10}};
    ASSERT_EQ(ruler_tasks().size(), answers.size());
    for (const std::string& task : ruler_tasks()) {
        for (const int64_t length : {1100, 2048}) {
            const RulerPrompt prompt = make(task, length);
            const int64_t used = std::ssize(prompt.tokens) + prompt.max_new_tokens;
            EXPECT_LE(used, length) << task;
            EXPECT_GE(used, length - 40) << task;
            EXPECT_EQ(prompt.answers.size(), answers.at(task)) << task;
            for (const std::string& answer : prompt.answers)
                EXPECT_THAT(text_of(prompt), HasSubstr(answer)) << task;
            EXPECT_EQ(prompt.tokens, make(task, length).tokens) << "the seed makes the prompt";
            EXPECT_NE(prompt.tokens, make(task, length, 2).tokens);
        }
    }
}

TEST_F(Ruler, NeedlesAreAskedForByTheirKeys) {
    const std::string one = text_of(make("niah_multikey", 900));
    EXPECT_THAT(one, HasSubstr("What is the special magic number for "));
    size_t needles = 0;
    for (size_t at = one.find("One of the"); at != std::string::npos;
         at = one.find("One of the", at + 1))
        ++needles;
    EXPECT_EQ(needles, 4);
    EXPECT_THAT(text_of(make("niah_multiquery", 900)), HasSubstr(", and "));
    EXPECT_THAT(text_of(make("niah_multivalue", 900)), HasSubstr("What are all the special"));
}

TEST_F(Ruler, AssignmentsStandInTheOrderOfTheChain) {
    const RulerPrompt prompt = make("vt", 1000);
    const std::string text = text_of(prompt);
    size_t last = 0;
    for (size_t i = 1; i < prompt.answers.size(); ++i) {
        const size_t at =
            text.find("VAR " + prompt.answers[i] + " = VAR " + prompt.answers[i - 1] + ".");
        ASSERT_NE(at, std::string::npos);
        EXPECT_GT(at, last);
        last = at;
    }
}

TEST_F(Ruler, CommonWordsComeTenTimesAsOften) {
    const RulerPrompt prompt = make("cwe", 1500);
    std::istringstream words(text_of(prompt));
    std::map<std::string, int> counts;
    for (std::string word; words >> word;) ++counts[word];
    for (const std::string& answer : prompt.answers) EXPECT_EQ(counts[answer], 10) << answer;
}

TEST_F(Ruler, NoiseComesFromTextsAndRepeats) {
    const std::vector<std::string> texts = {"One fox ran.  Two foxes\nran!\n\nThree", "", "Four?"};
    sentences_ = split_sentences(texts);
    EXPECT_THAT(sentences_, ElementsAre("One fox ran.", "Two foxes ran!", "Three", "Four?"));
    const std::string text = text_of(make("niah_single", 600));
    EXPECT_THAT(text, HasSubstr("Four? One fox ran. Two foxes ran!"));
    EXPECT_THAT(text, Not(HasSubstr("kettle")));
}

TEST_F(Ruler, TheScoreIsTheShareFound) {
    const std::vector<std::string> answers = {"ABCDE", "12345"};
    EXPECT_DOUBLE_EQ(string_match_all("abcde and 12345", answers), 1);
    EXPECT_DOUBLE_EQ(string_match_all("it is 912345.", answers), 0.5);
    EXPECT_DOUBLE_EQ(string_match_all("", answers), 0);
}

TEST_F(Ruler, TheBuiltInModelRunsAndResumes) {
    Engine engine = dense_engine(Model::load(LOWKEY_SMALL_MODEL));
    const RulerOptions options{.tasks = {"niah_single", "vt"}, .lengths = {400, 500}, .samples = 1};
    const RulerResult whole = evaluate_ruler(engine, *tokenizer_, {}, options);
    ASSERT_EQ(whole.cells.size(), 4);
    EXPECT_EQ(whole.cells[1].task, "niah_single");
    EXPECT_EQ(whole.cells[1].length, 500);
    EXPECT_EQ(whole.cells[2].task, "vt");
    EXPECT_LE(whole.cache.tokens, 500);
    const nlohmann::json settings = {{"evaluation", "ruler"}};
    {
        Journal journal(path("j"), settings);
        ItemOptions how{.journal = &journal};
        how.should_stop = [&] { return journal.finished().size() == 3; };
        EXPECT_THROW((void)evaluate_ruler(engine, *tokenizer_, {}, options, how), Error);
    }
    Journal journal(path("j"), settings);
    const RulerResult resumed =
        evaluate_ruler(engine, *tokenizer_, {}, options, {.journal = &journal});
    for (size_t i = 0; i < whole.cells.size(); ++i)
        EXPECT_EQ(resumed.cells[i].score, whole.cells[i].score);
    EXPECT_EQ(resumed.mean, whole.mean);
}

TEST_F(Ruler, RefusesWhatCannotBe) {
    Engine engine = dense_engine(Model::load(LOWKEY_SMALL_MODEL, {.max_context = 1024}));
    const auto refusal = [&](const RulerOptions& options) {
        return message_of<UsageError>(
            [&] { (void)evaluate_ruler(engine, *tokenizer_, {}, options); });
    };
    EXPECT_THAT(refusal({.tasks = {"qa"}}), HasSubstr("niah_single, niah_multikey"));
    EXPECT_THAT(refusal({.lengths = {}}), HasSubstr("--lengths"));
    EXPECT_THAT(refusal({.lengths = {100}}), HasSubstr("niah_single takes"));
    EXPECT_THAT(refusal({.tasks = {"cwe"}, .lengths = {300}}), HasSubstr("cwe takes"));
    EXPECT_THAT(refusal({.lengths = {1000, 2000}}), HasSubstr("context of 1024"));
    EXPECT_THAT(refusal({.lengths = {1000}, .samples = 0}), HasSubstr("--samples"));
}

}  // namespace
}  // namespace lowkey
