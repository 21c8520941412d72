// What people see: nothing in a file steers their terminal, and numbers come with their reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compress/plan_file.h"
#include "tests/cli/program.h"

namespace lowkey {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Display : public Program {
protected:
    void expect_harmless(const Command& command) const {
        const Result result = run(command);
        EXPECT_EQ(result.exit_code, 0) << result.err;
        EXPECT_THAT(result.out + result.err, HasSubstr("EVIL")) << "not shown at all";
        for (const char* control : {"\x1b", "\x07", "\xc2\x9b", "\xe2\x80\xae"})
            EXPECT_THAT(result.out + result.err, Not(HasSubstr(control))) << command.front();
    }
    static constexpr char kEvil[] = "EVIL\x1b[2J\x07\xc2\x9b\x33\x31m\xe2\x80\xae";
};

TEST_F(Display, NamesInFilesDoNotSteerTheTerminal) {
    const std::string model = copy_of("llama-mha");
    auto config = nlohmann::json::parse(read("model/config.json"));
    config["architectures"] = {kEvil};
    static_cast<void>(file("model/config.json", config.dump()));
    const std::string ids = write_ids("ids", {1, 2, 3, 4, 5, 6, 7, 8});
    expect_harmless({"info", model});
    expect_harmless({"generate", model, "--ids", ids, "-n", "1", "--verbose"});
    expect_harmless({"bench", model, "--prompt", "8", "--depths", "0", "--generate", "1",
                     "--repeat", "1", "--no-check"});

    const nlohmann::json info = json_of({"info", model});
    PlanFile plan;
    plan.method = kEvil;
    plan.head_dim = info.at("head_dim");
    plan.fingerprint = info.at("fingerprint");
    plan.plan = CachePlan::dense(info.at("num_layers"), info.at("num_kv_heads"));
    write_plan(path("a.plan"), plan);
    expect_harmless({"inspect", path("a.plan")});
}

TEST_F(Display, ACacheOfFewTokensIsExplained) {
    const std::string ids = write_ids("ids", {1, 2, 3, 4, 5, 6, 7, 8});
    const auto words = AllOf(HasSubstr("whole pages of 32.0 KiB"), Not(HasSubstr("%)")));
    EXPECT_THAT(run({"generate", golden("llama-mha"), "--ids", ids, "-n", "1"}).err, words);
    EXPECT_THAT(run({"eval", "perplexity", golden("llama-mha"), "--ids", ids, "--length", "8"}).out,
                words);
}

}  // namespace
}  // namespace lowkey
