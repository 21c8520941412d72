#include "eval/longbench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/eval/data_file.h"
#include "tests/io/temporary_folder.h"
#include "tests/model/golden.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using test::data_file;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class LongBench : public TemporaryFolder {
protected:
    [[nodiscard]] LongBenchResult evaluate(const LongBenchData& questions, int64_t max_length,
                                           const ItemOptions& how = {}) {
        return evaluate_longbench(engine_, *tokenizer_, questions, {.max_length = max_length}, how);
    }
    std::shared_ptr<const Tokenizer> tokenizer_ = Tokenizer::load(LOWKEY_SMALL_MODEL);
    Engine engine_ = dense_engine(Model::load(LOWKEY_SMALL_MODEL, {.max_context = 512}));
};

TEST_F(LongBench, RecordsBecomePrompts) {
    const LongBenchData questions = read_longbench(data_file("hotpotqa.jsonl"), 0);
    EXPECT_STREQ(questions.set->name, "hotpotqa");
    ASSERT_EQ(questions.items.size(), 2) << "LongBench-E's records are of the same set";
    const LongBenchItem& item = questions.items[0];
    EXPECT_THAT(item.prompt, AllOf(HasSubstr("Passage 1:\nThe ferryman"),
                                   HasSubstr("Question: Where does the ferryman live?\nAnswer:"),
                                   Not(HasSubstr("{context}"))));
    EXPECT_THAT(item.prompt, HasSubstr("He writes {input} on his boat"))
        << "what a document holds is no place to fill";
    EXPECT_THAT(item.answers, ElementsAre("Harwick", "the town of Harwick"));
    EXPECT_EQ(read_longbench(data_file("hotpotqa.jsonl"), 1).items.size(), 1);
    EXPECT_NE(fingerprint(read_longbench(data_file("hotpotqa.jsonl"), 1)), fingerprint(questions));
    EXPECT_THAT(read_longbench(data_file("lsht.jsonl"), 0).items[0].classes,
                ElementsAre("体育", "天气"));
}

TEST_F(LongBench, EverySetHasItsPlacesAndAMetric) {
    std::set<std::string> names;
    for (const LongBenchSet& set : longbench_sets()) {
        EXPECT_TRUE(names.insert(set.name).second) << set.name;
        EXPECT_THAT(set.prompt, HasSubstr("{context}")) << set.name;
        const LongBenchItem item{.prompt = "", .answers = {"段落1"}, .classes = {"段落1"}};
        EXPECT_GE(score_longbench(set, item, "段落1 Paragraph 1"), 0) << set.name;
    }
    EXPECT_EQ(names.size(), 21);
}

TEST_F(LongBench, TheBestAnswerCounts) {
    const LongBenchData questions = read_longbench(data_file("hotpotqa.jsonl"), 0);
    EXPECT_DOUBLE_EQ(score_longbench(*questions.set, questions.items[0], "Harwick."), 1);
    EXPECT_DOUBLE_EQ(score_longbench(*questions.set, questions.items[0], "town of Harwick"), 1);
    const LongBenchData retrieval = read_longbench(data_file("passage_retrieval_zh.jsonl"), 0);
    EXPECT_DOUBLE_EQ(score_longbench(*retrieval.set, retrieval.items[0], "段落2"), 1);
    const LongBenchData news = read_longbench(data_file("lsht.jsonl"), 0);
    EXPECT_DOUBLE_EQ(score_longbench(*news.set, news.items[0], "\n体育\n天气"), 1)
        << "the first line alone";
    EXPECT_DOUBLE_EQ(score_longbench(*news.set, news.items[0], "体育天气"), 0.5);
}

TEST_F(LongBench, PromptsThatAreTooLongLoseTheirMiddle) {
    const LongBenchData questions = read_longbench(data_file("hotpotqa.jsonl"), 0);
    const LongBenchResult whole = evaluate(questions, 0);
    EXPECT_EQ(whole.n, 2);
    EXPECT_GT(whole.cache.tokens, 100);
    const LongBenchResult cut = evaluate(questions, 41);
    EXPECT_LE(cut.cache.tokens, 41 + 32);
    EXPECT_GE(cut.cache.tokens, 41);
    EXPECT_THAT(message_of<UsageError>([&] { (void)evaluate(questions, 500); }),
                HasSubstr("--max-length"));
}

TEST_F(LongBench, ResumesToTheSameResult) {
    const LongBenchData questions = read_longbench(data_file("hotpotqa.jsonl"), 0);
    const LongBenchResult whole = evaluate(questions, 0);
    const nlohmann::json settings = {{"evaluation", "longbench"}};
    {
        Journal journal(path("j"), settings);
        ItemOptions how{.journal = &journal};
        how.should_stop = [&] { return journal.finished().size() == 1; };
        EXPECT_THROW((void)evaluate(questions, 0, how), Error);
    }
    Journal journal(path("j"), settings);
    const LongBenchResult resumed = evaluate(questions, 0, {.journal = &journal});
    EXPECT_EQ(resumed.score, whole.score);
    EXPECT_EQ(resumed.cache.tokens, whole.cache.tokens);
}

TEST_F(LongBench, BadRecordsAreNamedByFileAndLine) {
    const auto refusal = [&](const std::string& record) {
        const std::string good =
            R"({"dataset":"trec","context":"c","input":"i","answers":["a"],"all_classes":["a"]})";
        const std::string name = file("bad.jsonl", good + "\n" + record + "\n");
        return message_of<Error>([&] { (void)read_longbench(name, 0); });
    };
    EXPECT_THAT(refusal(R"({"dataset":"trec","context":"c","answers":["a"]})"),
                AllOf(HasSubstr("'input' is missing"), HasSubstr("bad.jsonl:2")));
    EXPECT_THAT(refusal(R"({"dataset":"trec","context":"c","input":"i","answers":[]})"),
                HasSubstr("no answer"));
    EXPECT_THAT(refusal(R"({"dataset":"trec","context":"c","input":"i","answers":"a"})"),
                HasSubstr("bad.jsonl:2, answers"));
    EXPECT_THAT(refusal(R"({"dataset":"lsht","context":"c","input":"i","answers":["a"]})"),
                HasSubstr("'lsht' in a file of 'trec'"));
    EXPECT_THAT(refusal(R"({"dataset":"mmlu","context":"c","input":"i","answers":["a"]})"),
                HasSubstr("unknown LongBench set 'mmlu'"));
    EXPECT_THAT(refusal("{"), HasSubstr("bad.jsonl:2"));
    EXPECT_THAT(message_of<FileError>([&] { (void)read_longbench(file("empty.jsonl", ""), 0); }),
                HasSubstr("no records"));
}

}  // namespace
}  // namespace lowkey
