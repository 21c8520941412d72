#include "eval/zeroshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "eval/likelihood.h"
#include "tests/eval/data_file.h"
#include "tests/io/temporary_folder.h"
#include "tests/model/golden.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using test::data_file;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<ZeroshotItem> items_of(const char* task, const std::string& path, int64_t limit = 0) {
    return read_zeroshot_items(zeroshot_task(task), path, limit);
}

class ZeroshotData : public TemporaryFolder {
protected:
    [[nodiscard]] std::string refusal(const char* task, const std::string& record) const {
        const std::string name = file("bad.jsonl", "\n" + record + "\n");
        return message_of<FileError>([&] { (void)items_of(task, name); });
    }
};

TEST_F(ZeroshotData, Piqa) {
    const auto items = items_of("piqa", data_file("piqa.jsonl"));
    ASSERT_EQ(items.size(), 5);
    EXPECT_EQ(items[1].choices[0].context, "Question: open a window\nAnswer:");
    EXPECT_EQ(items[1].choices[0].continuation, " sing to the handle ");
    EXPECT_EQ(items[1].choices[1].context, items[1].choices[0].context);
    EXPECT_EQ(items[1].choices[1].length, 16) << "as it stands in the data, without the space";
    EXPECT_EQ(items[1].gold, 1);
    EXPECT_EQ(items[2].gold, 0);
    const auto labelled = items_of("piqa", data_file("piqa_labelled.jsonl"));
    EXPECT_EQ(labelled[0].gold, 1);
    EXPECT_EQ(labelled[1].gold, 0);
}

TEST_F(ZeroshotData, LambadaSplitsAtTheLastSpace) {
    const auto items = items_of("lambada", data_file("lambada.jsonl"));
    ASSERT_EQ(items.size(), 3);
    EXPECT_EQ(items[0].choices.size(), 1);
    EXPECT_EQ(items[0].choices[0].continuation, " letter");
    EXPECT_TRUE(items[0].choices[0].context.ends_with("he opened the"));
    EXPECT_TRUE(items[1].choices[0].context.ends_with("called a "));
    EXPECT_EQ(items[2].choices[0].context, "");
    EXPECT_EQ(items[2].choices[0].continuation, " Once");
}

TEST_F(ZeroshotData, Arc) {
    const auto items = items_of("arc", data_file("arc.jsonl"));
    ASSERT_EQ(items.size(), 2);
    EXPECT_EQ(items[0].choices.size(), 4);
    EXPECT_EQ(items[0].choices[1].context, "Question: Which of these gives light?\nAnswer:");
    EXPECT_EQ(items[0].choices[1].continuation, " a lamp");
    EXPECT_EQ(items[0].gold, 1);
    EXPECT_EQ(items[1].gold, 0) << "labels may be numbers";
}

TEST_F(ZeroshotData, HellaswagIsCleaned) {
    const auto items = items_of("hellaswag", data_file("hellaswag.jsonl"));
    ASSERT_EQ(items.size(), 2);
    EXPECT_EQ(items[0].choices[0].context, "Baking bread: A man stands in a kitchen. The man");
    EXPECT_EQ(items[0].choices[0].continuation, " puts dough into the oven.");
    EXPECT_EQ(items[1].choices[0].context,
              "Home and Garden: How to dig a hole. Take a spade Look at the ground. Push.");
    EXPECT_EQ(items[1].choices[0].continuation, " Lift the earth. Again.");
    EXPECT_EQ(items[1].choices[1].continuation, " Eat the  spade.");
    EXPECT_EQ(items[1].choices[1].length, 15);
}

TEST_F(ZeroshotData, WinograndeScoresWhatFollowsEitherContext) {
    const auto items = items_of("winogrande", data_file("winogrande.jsonl"));
    ASSERT_EQ(items.size(), 2);
    EXPECT_EQ(items[0].choices[0].context, "The cup did not fit into the box because the cup");
    EXPECT_EQ(items[0].choices[1].context, "The cup did not fit into the box because the box");
    EXPECT_EQ(items[0].choices[0].continuation, " was too small.");
    EXPECT_EQ(items[1].choices[1].continuation, " said thank you.");
    EXPECT_EQ(items[0].gold, 1);
}

// All keys that the public data sets have, with texts of our own; what is expected follows
// lm-evaluation-harness's task files (hellaswag/utils.py, winogrande/preprocess_winogrande.py,
// arc/arc_easy.yaml).
TEST_F(ZeroshotData, RecordsOfThePublicDataSetsAreRead) {
    const auto one = [&](const char* task, const std::string& record) {
        return items_of(task, file("one.jsonl", record)).front();
    };
    const ZeroshotItem video = one(
        "hellaswag",
        R"({"ind":24,"activity_label":"Cleaning windows","ctx_a":"A woman fills a bucket. ",)"
        R"("ctx_b":"she","ctx":"A woman fills a bucket.  she","endings":["rubs the pane [laughs]",)"
        R"(" drinks it.","sings.","runs."],"source_id":"activitynet~v_x","split":"val",)"
        R"("split_type":"indomain","label":"3"})");
    EXPECT_EQ(video.choices[0].context, "Cleaning windows: A woman fills a bucket. She");
    EXPECT_EQ(video.choices[0].continuation, " rubs the pane ");
    EXPECT_EQ(video.choices[1].continuation, " drinks it.");
    EXPECT_EQ(video.gold, 3);
    const ZeroshotItem how_to =
        one("hellaswag",
            R"({"ind":7,"activity_label":"Pets","ctx_a":"How to wash a dog[title] Fill a tub.)"
            R"( [title] Call it. [step] Say its name[substeps] twice.","ctx_b":"","ctx":"",)"
            R"("endings":["a","b","c","d"],"source_id":"wikihow~1","split":"val",)"
            R"("split_type":"zeroshot","label":1})");
    EXPECT_EQ(how_to.choices[0].context,
              "Pets: How to wash a dog Fill a tub.. Call it. Say its name twice.");
    const ZeroshotItem gap =
        one("winogrande",
            R"({"qID":"x-1","sentence":"The _ is as old as the oak, says _.","option1":"elm",)"
            R"("option2":"oak","answer":"1"})");
    EXPECT_EQ(gap.choices[0].context, "The elm");
    EXPECT_EQ(gap.choices[1].continuation, " is as old as the oak, says _.");
    EXPECT_EQ(gap.gold, 0);
    const ZeroshotItem numbers =
        one("arc", R"({"id":"NYSEDREGENTS_1","question":"Which is a metal?","choices":{"text":)"
                   R"(["oak","wool","tin","salt"],"label":["1","2","3","4"]},"answerKey":"3"})");
    EXPECT_EQ(numbers.gold, 2);
    const ZeroshotItem five =
        one("arc", R"({"id":"Mercury_1","question":{"stem":"Which is a metal?","choices":)"
                   R"([{"text":"oak","label":"A"},{"text":"wool","label":"B"},{"text":"tin",)"
                   R"("label":"C"},{"text":"salt","label":"D"},{"text":"ice","label":"E"}]},)"
                   R"("answerKey":"C"})");
    EXPECT_EQ(five.gold, 2);
    ASSERT_EQ(five.choices.size(), 5U);
    EXPECT_EQ(five.choices[2].context, numbers.choices[2].context);
    EXPECT_EQ(five.choices[2].continuation, " tin");
    // Test sets keep their labels to themselves.
    EXPECT_THAT(refusal("hellaswag", R"({"activity_label":"a","ctx_a":"b","ctx_b":"c",)"
                                     R"("endings":["x","y"],"label":""})"),
                HasSubstr("got ''"));
    EXPECT_THAT(refusal("winogrande", R"({"sentence":"a _ b","option1":"a","option2":"b",)"
                                      R"("answer":""})"),
                HasSubstr("got ''"));
}

TEST_F(ZeroshotData, LengthsAreCharactersNotBytes) {
    const std::string name =
        file("a.jsonl", R"({"goal":"g","sol1":"Grüße","sol2":"日本","label":0})");
    EXPECT_EQ(items_of("piqa", name)[0].choices[0].length, 5);
    EXPECT_EQ(items_of("piqa", name)[0].choices[1].length, 2);
}

TEST_F(ZeroshotData, ALimitTakesTheFirst) {
    const auto all = items_of("piqa", data_file("piqa.jsonl"));
    const auto some = items_of("piqa", data_file("piqa.jsonl"), 3);
    EXPECT_EQ(some.size(), 3);
    EXPECT_EQ(fingerprint(some), fingerprint(std::span(all).first(3)));
    EXPECT_NE(fingerprint(some), fingerprint(all));
    EXPECT_EQ(items_of("piqa", data_file("piqa.jsonl"), 100).size(), 5);
}

TEST_F(ZeroshotData, AFolderStandsForItsOnlyFile) {
    static_cast<void>(file("f/valid.jsonl", R"({"text":"a b"})"));
    static_cast<void>(file("f/other.txt", "x"));
    EXPECT_EQ(items_of("lambada", path("f")).size(), 1);
    static_cast<void>(file("f/test.jsonl", R"({"text":"a b"})"));
    EXPECT_THAT(message_of<UsageError>([&] { (void)items_of("lambada", path("f")); }),
                HasSubstr("2 .jsonl files"));
    static_cast<void>(file("g/other.txt", "x"));
    EXPECT_THAT(message_of<FileError>([&] { (void)items_of("lambada", path("g")); }),
                HasSubstr("no .jsonl file"));
    EXPECT_THROW((void)items_of("lambada", path("missing")), FileError);
    EXPECT_THAT(message_of<FileError>([&] { (void)items_of("lambada", file("e.jsonl", "\n")); }),
                HasSubstr("no records"));
}

TEST_F(ZeroshotData, BadRecordsAreNamedByFileAndLine) {
    EXPECT_THAT(refusal("piqa", R"({"goal":"g","sol1":"a","label":0})"),
                AllOf(HasSubstr("'sol2' is missing"), HasSubstr("bad.jsonl:2")));
    EXPECT_THAT(refusal("piqa", R"({"goal":"g","sol1":"a","sol2":"b"})"), HasSubstr("'label'"));
    EXPECT_THAT(refusal("piqa", R"({"goal":"g","sol1":"a","sol2":"b","label":2})"),
                HasSubstr("from 0 to 1"));
    EXPECT_THAT(refusal("piqa", R"({"goal":"g","sol1":"a","sol2":"b","label":"x"})"),
                HasSubstr("got 'x'"));
    EXPECT_THAT(refusal("lambada", R"({"text":5})"), HasSubstr("bad.jsonl:2, text"));
    EXPECT_THAT(refusal("lambada", R"({"text":"a b")"), HasSubstr("bad.jsonl:2"));
    EXPECT_THAT(refusal("arc", R"({"question":"q","choices":{"text":["a"],"label":["A","B"]},)"
                               R"("answerKey":"A"})"),
                HasSubstr("2 labels of 1 answers"));
    EXPECT_THAT(refusal("arc", R"({"question":"q","choices":{"text":["a"],"label":["A"]},)"
                               R"("answerKey":"B"})"),
                HasSubstr("'B' is none of the labels"));
    EXPECT_THAT(
        refusal("arc", R"({"question":"q","choices":{"text":[],"label":[]},"answerKey":"B"})"),
        HasSubstr("0 answers"));
    EXPECT_THAT(refusal("hellaswag", R"({"activity_label":"a","ctx_a":"b","ctx_b":"c",)"
                                     R"("endings":["x","y"],"label":2})"),
                HasSubstr("bad.jsonl:2, label"));
    EXPECT_THAT(refusal("winogrande", R"({"sentence":"no gap","option1":"a","option2":"b",)"
                                      R"("answer":"1"})"),
                HasSubstr("no '_'"));
}

TEST_F(ZeroshotData, LabelsBesideMustCoverTheRecords) {
    const std::string record = R"({"goal":"g","sol1":"a","sol2":"b"})";
    const std::string name = file("a.jsonl", record + "\n" + record + "\n");
    static_cast<void>(file("a-labels.lst", "1\r\n0"));
    EXPECT_EQ(items_of("piqa", name)[0].gold, 1);
    static_cast<void>(file("a-labels.lst", "1\n"));
    EXPECT_THAT(message_of<FileError>([&] { (void)items_of("piqa", name); }),
                HasSubstr("no label: " + path("a-labels.lst") + ":2"));
    static_cast<void>(file("a-labels.lst", "2\n0\n"));
    EXPECT_THAT(message_of<FileError>([&] { (void)items_of("piqa", name); }),
                HasSubstr("a-labels.lst:1"));
}

TEST(ZeroshotTasks, AnUnknownOneNamesAll) {
    EXPECT_THAT(message_of<UsageError>([] { (void)zeroshot_task("mmlu"); }),
                AllOf(HasSubstr("mmlu"), HasSubstr("piqa, lambada, arc, hellaswag, winogrande")));
}

class Zeroshot : public TemporaryFolder {
protected:
    [[nodiscard]] ZeroshotResult evaluate(const char* task, const std::vector<ZeroshotItem>& items,
                                          const ItemOptions& how = {}) {
        return evaluate_zeroshot(engine_, *tokenizer_, zeroshot_task(task), items, {}, how);
    }

    std::shared_ptr<const Model> model_ =
        Model::load(LOWKEY_SMALL_MODEL, {.dtype = DType::kF32, .max_context = 256});
    std::shared_ptr<const Tokenizer> tokenizer_ = Tokenizer::load(LOWKEY_SMALL_MODEL);
    Engine engine_ = dense_engine(model_);
};

TEST_F(Zeroshot, AccuracyIsThatOfTheLikeliestChoice) {
    const auto items = items_of("piqa", data_file("piqa.jsonl"));
    int64_t right = 0;
    int64_t right_norm = 0;
    for (const ZeroshotItem& item : items) {
        std::vector<double> sums;
        for (const ZeroshotItem::Choice& choice : item.choices) {
            const Continuation c =
                encode_continuation(*tokenizer_, choice.context, choice.continuation, 0);
            sums.push_back(
                score_continuations(engine_, std::span(&c, 1)).continuations[0].log_likelihood);
        }
        right += (sums[1] > sums[0] ? 1 : 0) == item.gold ? 1 : 0;
        const bool second = sums[1] / static_cast<double>(item.choices[1].length) >
                            sums[0] / static_cast<double>(item.choices[0].length);
        right_norm += (second ? 1 : 0) == item.gold ? 1 : 0;
    }
    const ZeroshotResult result = evaluate("piqa", items);
    EXPECT_EQ(result.n, 5);
    EXPECT_DOUBLE_EQ(result.accuracy, static_cast<double>(right) / 5);
    EXPECT_DOUBLE_EQ(result.accuracy_norm.value(), static_cast<double>(right_norm) / 5);
    const double p = result.accuracy;
    EXPECT_DOUBLE_EQ(result.stderr_accuracy.value(), std::sqrt(p * (1 - p) / 4));
    EXPECT_FALSE(result.perplexity.has_value());
    EXPECT_GT(result.cache.tokens, 0);
}

TEST_F(Zeroshot, ClozeTasksAskWhatTheModelWouldWrite) {
    const auto items = items_of("lambada", data_file("lambada.jsonl"));
    double sum = 0;
    double right = 0;
    for (const ZeroshotItem& item : items) {
        const Continuation c = encode_continuation(*tokenizer_, item.choices[0].context,
                                                   item.choices[0].continuation, 0);
        const Likelihood score = score_continuations(engine_, std::span(&c, 1)).continuations[0];
        sum += score.log_likelihood;
        right += score.greedy ? 1 : 0;
    }
    const ZeroshotResult result = evaluate("lambada", items);
    EXPECT_DOUBLE_EQ(result.accuracy, right / 3);
    EXPECT_DOUBLE_EQ(result.perplexity.value(), std::exp(-sum / 3));
    EXPECT_FALSE(result.accuracy_norm.has_value());
}

TEST_F(Zeroshot, OneItemHasNoStandardError) {
    EXPECT_FALSE(
        evaluate("arc", items_of("arc", data_file("arc.jsonl"), 1)).stderr_accuracy.has_value());
    EXPECT_EQ(evaluate("hellaswag", items_of("hellaswag", data_file("hellaswag.jsonl"))).n, 2);
    EXPECT_FALSE(evaluate("winogrande", items_of("winogrande", data_file("winogrande.jsonl")))
                     .accuracy_norm.has_value());
}

TEST_F(Zeroshot, LongContextsLoseTheirBeginning) {
    std::string text;
    for (int i = 0; i < 100; ++i) text += "He walked to the landing and waited there. ";
    const std::string name = file("long.jsonl", R"({"text":")" + text + R"(He waited"})");
    const ZeroshotResult result = evaluate("lambada", items_of("lambada", name));
    EXPECT_EQ(result.n, 1);
    EXPECT_LE(result.cache.tokens, 256);
    EXPECT_GE(result.cache.tokens, 250);
    const std::string word(3000, 'x');
    const std::string endless = file("endless.jsonl", R"({"text":"He )" + word + R"("})");
    EXPECT_THAT(
        message_of<UsageError>([&] { (void)evaluate("lambada", items_of("lambada", endless)); }),
        HasSubstr("does not fit the context of 256"));
}

TEST_F(Zeroshot, ResumesToTheSameResult) {
    const auto items = items_of("piqa", data_file("piqa.jsonl"));
    const ZeroshotResult whole = evaluate("piqa", items);
    const nlohmann::json settings = {{"evaluation", "zeroshot"}};
    {
        Journal journal(path("j"), settings);
        ItemOptions how{.journal = &journal};
        how.should_stop = [&] { return journal.finished().size() == 2; };
        EXPECT_THROW((void)evaluate("piqa", items, how), Error);
    }
    Journal journal(path("j"), settings);
    EXPECT_EQ(journal.finished().size(), 2);
    const ZeroshotResult resumed = evaluate("piqa", items, {.journal = &journal});
    EXPECT_EQ(resumed.accuracy, whole.accuracy);
    EXPECT_EQ(resumed.accuracy_norm, whole.accuracy_norm);
    EXPECT_EQ(resumed.cache.bytes_allocated, whole.cache.bytes_allocated);
    EXPECT_EQ(resumed.cache.tokens, whole.cache.tokens);
}

}  // namespace
}  // namespace lowkey
