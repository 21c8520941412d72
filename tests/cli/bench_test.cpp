// Speeds as scripts read them, and the instruction set that a flag chooses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/program.h"

namespace lowkey {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Bench : public Program {
protected:
    std::string model_ = golden("llama-gqa-tied");
    std::string config_ = model_ + "/config.json";
};

TEST_F(Bench, JsonHasTheFieldsThatScriptsRead) {
    const json result = json_of({"bench", "--prompt", "24,5", "--depths", "40,0", model_,
                                 "--generate", "2", "--repeat", "1", "--plot", path("plot.svg")});
    for (const char* field : {"read_gbs", "bf16_gflops", "f32_gflops"})
        EXPECT_GT(result.at("machine").at(field).get<double>(), 0) << field;
    ASSERT_EQ(result.at("prefill").size(), 2);
    EXPECT_EQ(result.at("prefill").at(0).at("tokens"), 24);
    for (const json& run : result.at("prefill")) {
        EXPECT_GT(run.at("tokens_per_second").get<double>(), 0);
        EXPECT_GT(run.at("limit_share").get<double>(), 0);
    }
    ASSERT_EQ(result.at("decode").size(), 2);
    EXPECT_EQ(result.at("decode").at(0).at("depth"), 0);  // in order
    for (const json& run : result.at("decode")) {
        EXPECT_GT(run.at("tokens_per_second").get<double>(), 0);
        EXPECT_GT(run.at("bytes_per_token").get<int64_t>(), 0);
        EXPECT_GT(run.at("limit_share").get<double>(), 0);
        EXPECT_GT(run.at("attention_seconds").get<double>(), 0);
        double sum = 0;
        for (const char* phase : {"linear", "attention", "encode", "sampling", "other"})
            sum += run.at("phases").at(phase).get<double>();
        EXPECT_NEAR(sum, run.at("step_seconds").get<double>(), 1e-12);
    }
    EXPECT_THAT(read("plot.svg"), AllOf(HasSubstr("<svg"), HasSubstr("attention: ")));
}

TEST_F(Bench, EveryNumberOfThreadsMakesItsRows) {
    const json result = json_of({"bench", "--threads", "1,2", model_, "--prompt", "8", "--depths",
                                 "0,16,32", "--generate", "2", "--repeat", "2"});
    EXPECT_FALSE(result.contains("check"));  // nothing to compare
    ASSERT_EQ(result.at("limits").size(), 2);
    ASSERT_EQ(result.at("prefill").size(), 2);
    ASSERT_EQ(result.at("decode").size(), 6);
    ASSERT_EQ(result.at("depth_line").size(), 2);
    EXPECT_EQ(result.at("machine").at("threads"), 2);
    for (const auto& [threads, decode] : {std::pair{1, 2}, {2, 5}}) {
        const auto i = static_cast<size_t>(threads) - 1;
        EXPECT_EQ(result.at("limits").at(i).at("threads"), threads);
        EXPECT_EQ(result.at("prefill").at(i).at("threads"), threads);
        EXPECT_EQ(result.at("depth_line").at(i).at("threads"), threads);
        const json& run = result.at("decode").at(static_cast<size_t>(decode));
        EXPECT_EQ(run.at("threads"), threads);
        EXPECT_EQ(run.at("depth"), 32);
        EXPECT_GE(run.at("spread").get<double>(), 0);
        EXPECT_EQ(run.at("cache").at("tokens"), 32 + 1 + 2);
    }
}

TEST_F(Bench, APlansStepsAreComparedWithTheUncompressedCache) {
    static_cast<void>(json_of(
        {"plan", "small", "--method", "streaming", "--window", "64", "-o", path("short.plan")}));
    static_cast<void>(json_of(
        {"plan", "small", "--method", "streaming", "--window", "2000", "-o", path("whole.plan")}));
    const auto bench = [&](const std::string& plan, const std::vector<std::string>& more) {
        std::vector<std::string> arguments = {"bench",      "small", "--plan",   path(plan),
                                              "--prompt",   "8",     "--depths", "0",
                                              "--generate", "1",     "--repeat", "1"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return json_of(arguments);
    };
    const json forgets = bench("short.plan", {}).at("check");
    EXPECT_EQ(forgets.at("tokens"), 32);
    EXPECT_GT(forgets.at("mean_kl").get<double>(), 0.01);
    EXPECT_LT(forgets.at("cache").at("ratio").get<double>(), 1);
    const json keeps = bench("whole.plan", {}).at("check");
    EXPECT_LT(keeps.at("mean_kl").get<double>(), 1e-3);
    EXPECT_EQ(keeps.at("top1_agreement"), 1.0);
    EXPECT_FALSE(bench("short.plan", {"--no-check"}).contains("check"));
}

TEST_F(Bench, RandomWeightsUnderAPlanMakeATable) {
    static_cast<void>(
        json_of({"plan", model_, "--method", "streaming", "--window", "16", "-o", path("a.plan")}));
    // The plan is for that model's own weights.
    EXPECT_THAT(refusal({"bench", "--config", config_, "--random", "--plan", path("a.plan")}, 2),
                HasSubstr("checkpoint"));

    const Result result = run({"bench", "--config", config_, "--random", "--prompt", "8",
                               "--depths", "0,64", "--generate", "2", "--repeat", "1"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, AllOf(HasSubstr("machine"), HasSubstr("GB/s"), HasSubstr("prefill"),
                                  HasSubstr("decode"), HasSubstr("linear"), Not(HasSubstr("nan"))));
}

TEST_F(Bench, RefusesBeforeItMeasures) {
    EXPECT_THAT(refusal({"bench"}, 2), HasSubstr("either MODEL or --config"));
    EXPECT_THAT(refusal({"bench", model_, "--config", config_, "--random"}, 2),
                HasSubstr("either MODEL or --config"));
    EXPECT_THAT(refusal({"bench", model_, "--random"}, 2), HasSubstr("--config and --random"));
    EXPECT_THAT(refusal({"bench", "--config", config_}, 2), HasSubstr("--config and --random"));
    EXPECT_THAT(refusal({"bench", "--config", path("none.json"), "--random"}, 1),
                HasSubstr("none.json"));
    EXPECT_THAT(refusal({"bench", path("nowhere")}, 1), HasSubstr("nowhere"));
    EXPECT_THAT(refusal({"bench", model_, "--depths", "0,1000000"}, 2), HasSubstr("context"));
    EXPECT_THAT(refusal({"bench", model_, "--prompt", "1000000"}, 2), HasSubstr("context"));
    EXPECT_THAT(refusal({"bench", model_, "--plot", path("no/such/folder.svg")}, 1),
                HasSubstr("no/such"));
    const std::vector<std::vector<std::string>> bad = {
        {"--depths", "-1"},  {"--depths", "deep"}, {"--depths", "1,,x"},
        {"--prompt", "0"},   {"--generate", "0"},  {"--repeat", "0"},
        {"--repeat", "1.5"}, {"--threads", "0"},   {"--threads", "1,two"}};
    for (const std::vector<std::string>& flag : bad) {
        SCOPED_TRACE(flag[0] + " " + flag[1]);
        static_cast<void>(refusal({"bench", model_, flag[0], flag[1]}, 2));
    }
}

TEST_F(Bench, AFlagChoosesTheInstructionSet) {
    const std::string ids = write_ids("ids", {1, 2, 3});
    const json portable =
        json_of({"generate", model_, "--ids", ids, "-n", "3", "--isa", "portable"});
    EXPECT_EQ(portable.at("ids").size(), 3);
    EXPECT_THAT(refusal({"generate", model_, "--ids", ids, "--isa", "z80"}, 2),
                AllOf(HasSubstr("--isa z80"), HasSubstr("portable")));
}

}  // namespace
}  // namespace lowkey
