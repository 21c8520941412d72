// Token policies as a user plans, runs and looks at them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "compress/plan_file.h"
#include "tests/cli/program.h"

namespace lowkey {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Policies : public Program {
protected:
    std::string model_ = std::string(LOWKEY_TEST_DATA) + "/methods/llama-mha";
    std::string plan_ = path("a.plan");
    std::string ids_ = write_ids("ids", std::vector<int64_t>(200, 7));

    json plan(const std::vector<std::string>& flags) const {
        std::vector<std::string> all = {"plan", model_, "-o", plan_};
        all.insert(all.end(), flags.begin(), flags.end());
        return json_of(all);
    }
    std::string plan_refusal(const std::vector<std::string>& flags, int code = 2) const {
        std::vector<std::string> all = {"plan", model_, "-o", path("refused.plan")};
        all.insert(all.end(), flags.begin(), flags.end());
        std::string message = refusal(all, code);
        EXPECT_FALSE(std::filesystem::exists(path("refused.plan")));
        return message;
    }
};

TEST_F(Policies, RazorIsPlannedInspectedDrawnAndRun) {
    const json made = plan({"--method", "razor", "--random-tokens", "40", "--window", "30"});
    EXPECT_EQ(made.at("method"), "razor");
    EXPECT_EQ(made.at("induction").size(), 2);
    EXPECT_EQ(made.at("echo").at(0).size(), 4);
    for (const json& head : made.at("retrieval_heads")) EXPECT_EQ(head.size(), 2);

    const Result shown = run({"inspect", plan_, "--plot", path("plan.svg")});
    EXPECT_EQ(shown.exit_code, 0) << shown.err;
    EXPECT_THAT(shown.out, AllOf(HasSubstr("window"), HasSubstr("compensation")));
    EXPECT_THAT(read("plan.svg"), AllOf(HasSubstr("<svg"), HasSubstr("induction"),
                                        HasSubstr("echo"), HasSubstr("share of the bytes")));

    const json generated = json_of({"generate", model_, "--ids", ids_, "--plan", plan_, "-n", "5",
                                    "--ignore-eos", "--chunk", "64"});
    EXPECT_EQ(generated.at("ids").size(), 5);
    EXPECT_EQ(generated.at("cache").at("tokens"), 204);
}

TEST_F(Policies, EveryMethodRuns) {
    const std::vector<std::vector<std::string>> methods = {
        {"streaming", "--window", "20"},
        {"streaming", "--keep", "0.3", "--reindex"},
        {"h2o", "--recent", "10", "--heavy", "20"},
        {"h2o", "--keep", "0.25"},
        {"snapkv", "--capacity", "50", "--observe", "8"},
        {"pyramidkv", "--keep", "0.5", "--observe", "8", "--beta", "10"},
        {"razor", "--retrieval-heads", "0:1,1:3", "--no-compensation"}};
    for (const auto& method : methods) {
        SCOPED_TRACE(method[0]);
        std::vector<std::string> flags = {"--method"};
        flags.insert(flags.end(), method.begin(), method.end());
        EXPECT_EQ(plan(flags).at("method"), method[0]);
        for (const char* mode : {"exact", "compressed"}) {
            std::vector<std::string> with_mode = flags;
            with_mode.insert(with_mode.end(), {"--prefill-attention", mode});
            static_cast<void>(plan(with_mode));
            const json ran = json_of({"logits", model_, "--ids", ids_, "--prefill", "150", "--plan",
                                      plan_, "-o", path("logits")});
            EXPECT_EQ(ran.at("tokens"), 200);
        }
    }
}

TEST_F(Policies, TokensOfOnePlanTimesVectorsOfAnother) {
    const std::string razor = path("razor.plan");
    const std::string eigen = path("eigen.plan");
    static_cast<void>(json_of({"plan", model_, "--method", "razor", "--retrieval-heads", "0:1",
                               "--window", "30", "-o", razor}));
    std::vector<int64_t> text;
    for (int64_t i = 0; i < 128; ++i) text.push_back(i * 37 % 200);
    static_cast<void>(
        json_of({"calibrate", model_, "--ids", write_ids("text", text, 4), "-o", path("stats")}));
    static_cast<void>(json_of({"plan", model_, "--method", "eigen", "--stats", path("stats"),
                               "--keep", "0.6", "-o", eigen}));
    const json made = json_of({"plan", model_, "--compose", razor, eigen, "-o", plan_});
    EXPECT_EQ(made.at("method"), "razor+eigen");
    const PlanFile file = read_plan(plan_);
    EXPECT_EQ(file.plan.layers[0][0].policy.name, "window");
    EXPECT_EQ(file.plan.layers[0][1].policy.name, "all");
    EXPECT_EQ(file.plan.layers[0][0].key.map.name, "linear");
    EXPECT_EQ(file.plan.prefill_attention, PrefillAttention::kExact);
    EXPECT_EQ(
        json_of({"generate", model_, "--ids", ids_, "--plan", plan_, "-n", "4", "--ignore-eos"})
            .at("ids")
            .size(),
        4);
    EXPECT_THAT(refusal({"plan", model_, "--compose", razor, razor, "-o", path("no")}, 2),
                HasSubstr("two of the plans choose tokens"));
    EXPECT_THAT(refusal({"plan", model_, "--compose", razor, "-o", path("no")}, 2),
                HasSubstr("--compose"));
    EXPECT_THAT(refusal({"plan", model_, "--compose", razor, path("missing"), "-o", path("no")}, 1),
                HasSubstr("missing"));
    EXPECT_THAT(refusal({"plan", golden("qwen2"), "--compose", razor, eigen, "-o", path("no")}, 2),
                HasSubstr("made for another model"));
}

// What a plan records makes it again, byte for byte.
TEST_F(Policies, TheRecordedCommandRepeatsThePlan) {
    std::vector<int64_t> text;
    for (int64_t i = 0; i < 128; ++i) text.push_back(i * 37 % 200);
    const std::string stats = path("my stats");
    static_cast<void>(
        json_of({"calibrate", model_, "--ids", write_ids("text", text, 4), "-o", stats}));
    const std::string razor = path("it's razor.plan");
    const std::string eigen = path("eigen.plan");
    const std::vector<std::pair<std::string, std::vector<std::string>>> plans = {
        {razor, {"--method", "razor", "--random-tokens", "40", "--window", "30", "--seed", "3"}},
        {eigen, {"--method", "eigen", "--stats", stats, "--keep", "0.6", "--search-tokens", "64"}},
        {path("paper"),
         {"--method", "eigen", "--stats", stats, "--energy-threshold", "0.9", "--preset", "paper",
          "--dtype", "f32"}},
        {path("streaming"), {"--method", "streaming", "--keep", "0.3", "--reindex"}},
        {path("snapkv"), {"--method", "snapkv", "--prefill-attention", "compressed"}},
        {path("both"), {"--compose", razor, eigen, "--prefill-attention", "exact"}}};
    for (const auto& [plan, flags] : plans) {
        static_cast<void>(json_of(Command{"plan", model_, "-o", plan} + flags));
        std::string command = json_of({"inspect", plan}).at("command");
        const std::string begin = "lowkey plan MODEL";
        ASSERT_EQ(command.rfind(begin, 0), 0) << command;
        command = std::string(LOWKEY_PROGRAM) + " plan " + model_ + command.substr(begin.size()) +
                  " --quiet 2>" + path("stderr");
        const auto bytes = [&, plan = plan] {
            return read(std::filesystem::path(plan).filename().string());
        };
        const std::string first = bytes();
        std::filesystem::remove(plan);
        ASSERT_EQ(std::system(command.c_str()), 0) << command;
        EXPECT_TRUE(bytes() == first) << command;
    }
    EXPECT_FALSE(std::filesystem::exists(eigen + ".part"));
}

TEST_F(Policies, HelpShowsTheSettingsOfOneMethod) {
    const std::string all = run({"plan", "--help"}).out;
    EXPECT_THAT(all, AllOf(HasSubstr("razor"), HasSubstr("pyramidkv"), HasSubstr("--stats")));
    EXPECT_EQ(all.find("--echo"), std::string::npos);
    const std::string razor = run({"plan", "--method", "razor", "--help"}).out;
    EXPECT_THAT(razor, AllOf(HasSubstr("--echo"), HasSubstr("0.01"), HasSubstr("4000")));
    EXPECT_EQ(razor.find("--key-basis"), std::string::npos);
}

TEST_F(Policies, AWindowSmallerThanAPageIsNoted) {
    const Result made =
        run({"plan", model_, "--method", "streaming", "--window", "20", "-o", plan_});
    EXPECT_EQ(made.exit_code, 0);
    EXPECT_THAT(made.err, HasSubstr("a window of 20 tokens is smaller than a page"));
}

TEST_F(Policies, BadInputIsOneLine) {
    EXPECT_THAT(plan_refusal({}), HasSubstr("either --method or --compose"));
    EXPECT_THAT(plan_refusal({"--method", "razor", "--induction", "1.2"}),
                AllOf(HasSubstr("--induction"), HasSubstr("0 to 1")));
    EXPECT_THAT(plan_refusal({"--method", "razor", "--window", "0"}), HasSubstr("--window"));
    EXPECT_THAT(plan_refusal({"--method", "razor", "--sink", "1000"}), HasSubstr("--sink"));
    EXPECT_THAT(plan_refusal({"--method", "razor", "--retrieval-heads", "9:0"}),
                AllOf(HasSubstr("'9:0'"), HasSubstr("layers 0 to 1")));
    EXPECT_THAT(plan_refusal({"--method", "razor", "--retrieval-heads", "0:4"}),
                AllOf(HasSubstr("'0:4'"), HasSubstr("KV heads 0 to 3")));
    EXPECT_THAT(plan_refusal({"--method", "razor", "--random-heads", "9"}),
                AllOf(HasSubstr("--random-heads"), HasSubstr("0 to 8")));
    EXPECT_THAT(plan_refusal({"--method", "razor", "--echo", "-0.1"}), HasSubstr("--echo"));
    EXPECT_THAT(plan_refusal({"--method", "razor", "--window-fraction", "1.01"}),
                HasSubstr("--window-fraction"));
    EXPECT_THAT(plan_refusal({"--method", "full", "--keep", "0.5"}),
                HasSubstr("--keep is not a setting of this method"));
    EXPECT_THAT(plan_refusal({"--method", "streaming", "--keep", "2"}), HasSubstr("--keep"));
    EXPECT_THAT(plan_refusal({"--method", "streaming", "--keep", "0.5", "--window", "9"}),
                HasSubstr("say the same"));
    EXPECT_THAT(plan_refusal({"--method", "h2o", "--recent", "0"}), HasSubstr("--recent"));
    EXPECT_THAT(plan_refusal({"--method", "snapkv", "--capacity", "10"}), HasSubstr("--capacity"));
    EXPECT_THAT(plan_refusal({"--method", "pyramidkv", "--beta", "0"}), HasSubstr("--beta"));
    EXPECT_THAT(plan_refusal({"--method", "razor", "--ids", path("missing")}, 1),
                HasSubstr("missing"));
    const std::string small = std::string(LOWKEY_SMALL_MODEL);
    EXPECT_THAT(refusal({"eval", "needle", small, "--haystack", path("missing")}, 1),
                HasSubstr("missing"));
    EXPECT_THAT(refusal({"eval", "needle", small, "--haystack", file("hay", "A short text."),
                         "--lengths", "600"},
                        2),
                HasSubstr("the haystack has"));
}

TEST_F(Policies, SinksBeyondThePromptJustWait) {
    for (const char* method : {"razor", "streaming"}) {
        std::vector<std::string> flags = {"--method", method, "--sink", "40", "--window", "10"};
        if (method == std::string("razor"))
            flags.insert(flags.end(), {"--retrieval-heads", "none"});
        static_cast<void>(plan(flags));
        const json ran = json_of({"generate", model_, "--ids", write_ids("few", {5, 6, 7}),
                                  "--plan", plan_, "-n", "60", "--ignore-eos"});
        EXPECT_EQ(ran.at("ids").size(), 60);
        EXPECT_EQ(ran.at("cache").at("tokens"), 62);
    }
}

TEST_F(Policies, SeveralPlansRunSideBySideAsTheyDoAlone) {
    std::string text;
    for (int i = 0; i < 90; ++i) text += "He walked to the landing and waited there. ";
    const std::string hay = file("hay", text);
    std::vector<std::string> plans;
    for (const std::vector<std::string>& flags : std::vector<std::vector<std::string>>{
             {"--method", "full"},
             {"--method", "razor", "--window", "64", "--retrieval-heads", "1:0,3:2"},
             {"--method", "h2o", "--keep", "0.3"},
             {"--method", "snapkv", "--keep", "0.3"}}) {
        plans.push_back(path("plan" + std::to_string(plans.size())));
        std::vector<std::string> command = {"plan", LOWKEY_SMALL_MODEL, "-o", plans.back()};
        command.insert(command.end(), flags.begin(), flags.end());
        static_cast<void>(json_of(command));
    }
    const std::vector<std::vector<std::string>> evaluations = {
        {"eval", "needle", "--haystack", hay, "--lengths", "300", "--depths", "0.5,1", "--trials",
         "2"},
        {"eval", "perplexity", "--text", hay, "--length", "320", "--prefill", "250", "--sequences",
         "1"}};
    for (const std::vector<std::string>& evaluation : evaluations) {
        std::vector<std::string> together = evaluation;
        for (const std::string& plan : plans) together.insert(together.end(), {"--plan", plan});
        together.emplace_back(LOWKEY_SMALL_MODEL);  // MODEL may come last
        const json all = json_of(together);
        ASSERT_EQ(all.at("plans").size(), plans.size());
        for (size_t i = 0; i < plans.size(); ++i) {
            std::vector<std::string> alone = evaluation;
            alone.insert(alone.end(), {LOWKEY_SMALL_MODEL, "--plan", plans[i]});
            json own = json_of(alone);
            own["plan"] = plans[i];
            EXPECT_EQ(all.at("plans")[i], own) << evaluation[1] << " " << i;
        }
    }
    const std::string journal = path("journal.jsonl");
    std::vector<std::string> resumed = evaluations.front();
    resumed.insert(resumed.end(), {LOWKEY_SMALL_MODEL, "--plan", plans[0], "--plan", plans[1],
                                   "--resume", journal});
    const json first = json_of(resumed);
    EXPECT_EQ(json_of(resumed), first);
    resumed[resumed.size() - 3] = plans[2];
    EXPECT_THAT(refusal(resumed, 2), HasSubstr(journal)) << "another plan's results";
}

TEST_F(Policies, NeedlesAreGridded) {
    std::string text;
    for (int i = 0; i < 60; ++i) text += "He walked to the landing and waited there. ";
    const json result =
        json_of({"eval", "needle", LOWKEY_SMALL_MODEL, "--haystack", file("hay", text), "--lengths",
                 "200,300", "--depths", "0.5", "--trials", "1", "--plot", path("grid.svg")});
    EXPECT_EQ(result.at("grid").size(), 2);
    EXPECT_EQ(result.at("grid")[1].at("length"), 300);
    EXPECT_TRUE(result.at("mean").is_number());
    EXPECT_TRUE(result.at("cache").is_object());
    EXPECT_THAT(read("grid.svg"), HasSubstr("numbers found"));
}

}  // namespace
}  // namespace lowkey
