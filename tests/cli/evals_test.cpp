// The evaluations that go through items: their JSON, and what a stopped one leaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/program.h"

namespace lowkey {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Evals : public Program {
protected:
    static std::string data(const std::string& name) {
        return std::string(LOWKEY_TEST_DATA) + "/eval/" + name;
    }
    [[nodiscard]] std::vector<std::string> piqa(const std::vector<std::string>& more = {}) const {
        std::vector<std::string> command = {"eval", "zeroshot", "small",           "--task",
                                            "piqa", "--data",   data("piqa.jsonl")};
        command.insert(command.end(), more.begin(), more.end());
        return command;
    }
    std::string journal_ = path("items.jsonl");
};

TEST_F(Evals, Zeroshot) {
    const json result = json_of(piqa());
    EXPECT_EQ(result.at("task"), "piqa");
    EXPECT_EQ(result.at("n"), 5);
    for (const char* key : {"accuracy", "accuracy_norm", "stderr", "stderr_norm"})
        EXPECT_TRUE(result.at(key).is_number()) << key;
    EXPECT_TRUE(result.at("cache").is_object());
    EXPECT_FALSE(result.contains("perplexity"));
    const json cloze = json_of({"eval", "zeroshot", "small", "--task", "lambada", "--data",
                                data("lambada.jsonl"), "--limit", "1", "--bos"});
    EXPECT_TRUE(cloze.at("perplexity").is_number());
    EXPECT_TRUE(cloze.at("accuracy_norm").is_null());
    EXPECT_TRUE(cloze.at("stderr").is_null()) << "one question has none";
    const Result table = run(piqa());
    EXPECT_THAT(table.out, AllOf(HasSubstr("5 questions of piqa"), HasSubstr("normalised")));
}

TEST_F(Evals, Ruler) {
    const json result = json_of({"eval", "ruler", "small", "--tasks", "niah_single,vt", "--lengths",
                                 "400", "--samples", "1"});
    ASSERT_EQ(result.at("tasks").size(), 2);
    EXPECT_EQ(result.at("tasks")[1].at("task"), "vt");
    EXPECT_EQ(result.at("tasks")[1].at("length"), 400);
    EXPECT_TRUE(result.at("tasks")[1].at("score").is_number());
    EXPECT_TRUE(result.at("mean").is_number());
    EXPECT_TRUE(result.at("cache").is_object());
}

TEST_F(Evals, LongBench) {
    const json result =
        json_of({"eval", "longbench", "small", "--data", data("hotpotqa.jsonl"), "--limit", "1"});
    EXPECT_EQ(result.at("dataset"), "hotpotqa");
    EXPECT_EQ(result.at("metric"), "qa_f1");
    EXPECT_TRUE(result.at("score").is_number());
    EXPECT_EQ(result.at("n"), 1);
    EXPECT_TRUE(result.at("cache").is_object());
}

// Several plans are the one plan's results, each under its name.
TEST_F(Evals, EveryEvaluationTakesSeveralPlans) {
    const std::string a = path("a.plan");
    const std::string b = path("b.plan");
    static_cast<void>(
        json_of({"plan", "small", "--method", "streaming", "--window", "32", "-o", a}));
    static_cast<void>(json_of({"plan", "small", "--method", "full", "-o", b}));
    std::string prose;
    for (int i = 0; i < 60; ++i) prose += "The keeper lit his lamp and wrote down the wind. ";
    const std::string text = file("text.txt", prose);
    const std::vector<std::vector<std::string>> commands = {
        piqa({"--limit", "2"}),
        {"eval", "ruler", "small", "--tasks", "niah_single", "--lengths", "300", "--samples", "1"},
        {"eval", "longbench", "small", "--data", data("hotpotqa.jsonl"), "--limit", "1"},
        {"eval", "needle", "small", "--haystack", text, "--lengths", "200", "--depths", "0.5"},
        {"eval", "perplexity", "small", "--text", text, "--length", "64", "--limit", "2",
         "--prefill", "40", "--reference"}};
    for (const std::vector<std::string>& command : commands) {
        std::vector<std::string> both = command;
        both.insert(both.end(), {"--plan", a, "--plan", b});
        const json plans = json_of(both).at("plans");
        ASSERT_EQ(plans.size(), 2) << command[1];
        for (size_t i = 0; i < 2; ++i) {
            const std::string& plan = i == 0 ? a : b;
            std::vector<std::string> alone = command;
            alone.insert(alone.end(), {"--plan", plan});
            json expected = json_of(alone);
            EXPECT_THAT(expected.at("scored").get<std::string>(), HasSubstr("cache"));
            expected["plan"] = plan;
            EXPECT_EQ(plans[i], expected) << command[1] << ": bit for bit";
        }
    }
}

TEST_F(Evals, PerplexityIsOfTheCacheWhoseBytesStandBesideIt) {
    const std::string plan = path("a.plan");
    static_cast<void>(
        json_of({"plan", "small", "--method", "streaming", "--window", "16", "-o", plan}));
    std::string prose;
    for (int i = 0; i < 60; ++i) prose += "The keeper lit his lamp and wrote down the wind. ";
    std::vector<std::string> command = {
        "eval",     "perplexity", "small",  "--text", file("text.txt", prose),
        "--length", "64",         "--plan", plan};
    EXPECT_THAT(refusal(command, 2), HasSubstr("--prefill 48"));
    command.insert(command.end(), {"--prefill", "48", "--reference", "--sequences", "1000"});
    const Result result = run(command);
    EXPECT_THAT(result.out, HasSubstr("tokens decoded through the cache after a prompt of 48"));
    EXPECT_THAT(result.err, HasSubstr("fit side by side"));
    const json scored = json_of(command);
    EXPECT_LE(scored.at("windows").get<int64_t>() * 64, 1200);
    EXPECT_GT(scored.at("kl").get<double>(), 0.01) << "the plan forgets something";
    EXPECT_GE(scored.at("kl_p999"), scored.at("kl"));
    EXPECT_LT(scored.at("same_first_token").get<double>(), 1);
    EXPECT_GT(scored.at("nll_change_error").get<double>(), 0);
}

TEST_F(Evals, AKilledRunGoesOn) {
    const json whole = json_of(piqa());
    EXPECT_EQ(json_of(piqa({"--resume", journal_})), whole);
    const std::string text = read("items.jsonl");
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 6);
    // As it lies after the third item, in the middle of the fourth.
    size_t end = 0;
    for (int line = 0; line < 4; ++line) end = text.find('\n', end) + 1;
    static_cast<void>(file("items.jsonl", text.substr(0, end + 20)));
    EXPECT_EQ(json_of(piqa({"--resume", journal_})), whole);
    EXPECT_EQ(read("items.jsonl"), text);
}

TEST_F(Evals, AResumedRunRefusesOtherSettings) {
    static_cast<void>(json_of(piqa({"--resume", journal_, "--limit", "2"})));
    EXPECT_THAT(refusal(piqa({"--resume", journal_, "--limit", "3"}), 2),
                AllOf(HasSubstr("other settings"), HasSubstr("limit is 2 there, now 3")));
    EXPECT_THAT(refusal(piqa({"--resume", journal_, "--limit", "2", "--dtype", "f32"}), 2),
                HasSubstr("dtype is \"bf16\" there, now \"f32\""));
    EXPECT_THAT(refusal(piqa({"--resume", journal_, "--limit", "2", "--bos"}), 2),
                HasSubstr("bos is false there, now true"));
    EXPECT_THAT(refusal({"eval", "ruler", "small", "--resume", journal_}, 2),
                HasSubstr("evaluation is \"zeroshot\" there, now \"ruler\""));
    const std::string plan = path("a.plan");
    static_cast<void>(
        json_of({"plan", "small", "--method", "streaming", "--window", "64", "-o", plan}));
    EXPECT_THAT(refusal(piqa({"--resume", journal_, "--limit", "2", "--plan", plan}), 2),
                HasSubstr("plan is null there"));
    EXPECT_EQ(json_of(piqa({"--plan", plan})).at("n"), 5);
}

TEST_F(Evals, BadInputIsOneLine) {
    EXPECT_THAT(refusal({"eval", "zeroshot", "small", "--task", "mmlu", "--data", "x"}, 2),
                HasSubstr("unknown task: mmlu"));
    EXPECT_THAT(refusal({"eval", "zeroshot", "small", "--task", "piqa"}, 2), HasSubstr("--data"));
    EXPECT_THAT(refusal({"eval", "zeroshot", "small", "--task", "lambada", "--data",
                         file("bad.jsonl", "{\"text\":\"a b\"}\n{\"text\":\n")},
                        1),
                HasSubstr("bad.jsonl:2"));
    EXPECT_THAT(refusal({"eval", "longbench", "small", "--data", path("missing")}, 1),
                HasSubstr("missing"));
    EXPECT_THAT(refusal({"eval", "ruler", "small", "--tasks", "nothing"}, 2),
                HasSubstr("unknown task: nothing"));
    EXPECT_THAT(refusal({"eval", "ruler", "small", "--haystack", file("hay", " \n")}, 1),
                HasSubstr("no sentences"));
    EXPECT_THAT(refusal(piqa({"--resume", file("precious", "text")}), 1),
                HasSubstr("not the journal"));
    EXPECT_EQ(read("precious"), "text");
}

}  // namespace
}  // namespace lowkey
