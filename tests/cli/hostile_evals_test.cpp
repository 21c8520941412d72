// Evaluations given what a hostile or hurried user gives them: one line, the right exit code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/program.h"

namespace lowkey {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kHuge[] = "9223372036854775807";

class HostileEvals : public Program {
protected:
    [[nodiscard]] std::string records(const std::string& name) const {
        return std::string(LOWKEY_TEST_DATA) + "/eval/" + name;
    }
    /// Each evaluation in its shortest valid form.
    [[nodiscard]] std::vector<Command> evaluations() const {
        const std::string text = file("text.txt", std::string(LOWKEY_TEST_DATA) + words(600));
        return {
            {"eval", "perplexity", "small", "--text", text, "--length", "64", "--limit", "1"},
            {"eval", "zeroshot", "small", "--task", "piqa", "--data", records("piqa.jsonl"),
             "--limit", "1"},
            {"eval", "needle", "small", "--haystack", text, "--lengths", "200", "--depths", "0.5",
             "--trials", "1"},
            {"eval", "ruler", "small", "--tasks", "niah_single", "--lengths", "300", "--samples",
             "1"},
            {"eval", "longbench", "small", "--data", records("hotpotqa.jsonl"), "--limit", "1"}};
    }
    static std::string words(int count) {
        std::string out;
        for (int i = 0; i < count; ++i) out += i % 9 == 8 ? " lamp." : " the";
        return out;
    }
    /// What perplexity, zeroshot, needle, ruler and longbench read, in other words.
    [[nodiscard]] std::vector<Command> reading(const std::string& path) const {
        return {{"eval", "perplexity", "small", "--text", path},
                {"eval", "zeroshot", "small", "--task", "lambada", "--data", path},
                {"eval", "needle", "small", "--haystack", path},
                {"eval", "ruler", "small", "--haystack", path},
                {"eval", "longbench", "small", "--data", path}};
    }
    /// A refusal with exit code 1 or 2, as the case may be.
    [[nodiscard]] std::string refusal_of(const Command& command) const {
        const Result result = run(command);
        EXPECT_TRUE(result.exit_code == 1 || result.exit_code == 2)
            << ::testing::PrintToString(command) << result.exit_code << result.err;
        EXPECT_EQ(result.out, "");
        EXPECT_EQ(result.err.rfind("lowkey: error: ", 0), 0) << result.err;
        EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result.err;
        return result.err;
    }
};

TEST_F(HostileEvals, FilesThatAreEmptyMissingOrNoFiles) {
    std::filesystem::create_directory(path("folder"));
    static_cast<void>(file("nothing", ""));
    for (const std::string& name : {path("none"), path("folder"), path("nothing")}) {
        for (const Command& command : reading(name)) {
            SCOPED_TRACE(command[1] + " " + name);
            EXPECT_THAT(
                refusal_of(command),
                HasSubstr(command[1] == "perplexity" && name == path("nothing")
                              ? "the text has 0 tokens"
                          : name == path("nothing") && command[1] == "needle" ? "the haystack has"
                                                                              : name));
        }
    }
    for (const Command& command : evaluations()) {
        SCOPED_TRACE(command[1]);
        EXPECT_THAT(refusal(command + Command{"--resume", path("none/items")}, 1),
                    HasSubstr("none/items"));
        EXPECT_THAT(refusal(command + Command{"--resume", path("folder")}, 1), HasSubstr("folder"));
        EXPECT_THAT(refusal(command + Command{"--plan", path("none")}, 1), HasSubstr("none"));
        EXPECT_THAT(refusal(command + Command{"--plan", path("nothing")}, 1), HasSubstr("nothing"));
        Command elsewhere = command;
        elsewhere[2] = path("none");
        EXPECT_THAT(refusal(elsewhere, 1), HasSubstr(path("none")));
    }
}

TEST_F(HostileEvals, NumbersThatAreNone) {
    const std::map<std::string, Command> flags = {
        {"perplexity", {"--length", "--max-tokens", "--sequences", "--prefill", "--limit"}},
        {"zeroshot", {"--limit"}},
        {"needle", {"--lengths", "--depths", "--needles", "--trials", "--seed"}},
        {"ruler", {"--lengths", "--samples", "--seed"}},
        {"longbench", {"--max-length", "--limit"}}};
    for (const Command& command : evaluations()) {
        for (const std::string& flag : flags.at(command[1])) {
            for (const char* value : {"nan", "-1", "1e99", "x", "", "inf", "0x"}) {
                SCOPED_TRACE(command[1] + " " + flag + " " + value);
                if (flag == "--seed" && std::string(value) == "-1") continue;  // as good as any
                static_cast<void>(refusal(command + Command{flag + "=" + value}, 2));
            }
        }
    }
}

TEST_F(HostileEvals, HugeNumbersDoNotTakeTheMemory) {
    for (const Command& more : std::vector<Command>{{"perplexity", "--length", kHuge},
                                                    {"perplexity", "--sequences", kHuge},
                                                    {"perplexity", "--prefill", kHuge},
                                                    {"needle", "--lengths", kHuge},
                                                    {"needle", "--needles", kHuge},
                                                    {"needle", "--trials", kHuge},
                                                    {"ruler", "--lengths", kHuge},
                                                    {"ruler", "--samples", kHuge},
                                                    {"longbench", "--max-length", kHuge}}) {
        for (Command command : evaluations()) {
            if (command[1] != more[0]) continue;
            const auto given = std::find(command.begin(), command.end(), more[1]);
            if (given != command.end()) {
                given[1] = more[2];
            } else {
                command = command + Command(more.begin() + 1, more.end());
            }
            SCOPED_TRACE(more[0] + " " + more[1]);
            static_cast<void>(refusal(command, 2));
        }
    }
    // A limit that is too large takes what is there.
    EXPECT_EQ(json_of({"eval", "zeroshot", "small", "--task", "piqa", "--data",
                       records("piqa.jsonl"), "--limit", kHuge})
                  .at("n"),
              5);
}

TEST_F(HostileEvals, TextsThatAreNoUtf8) {
    std::string bytes;
    for (int i = 0; i < 1500; ++i) {
        bytes += static_cast<char>(i * 89 % 256);
        if (i % 20 == 19) bytes += ". ";  // sentences, which RULER's noise is made of
    }
    const std::string text = file("bytes", bytes);
    EXPECT_GT(
        json_of({"eval", "perplexity", "small", "--text", text, "--length", "64", "--limit", "1"})
            .at("perplexity")
            .get<double>(),
        1);
    EXPECT_EQ(json_of({"eval", "needle", "small", "--haystack", text, "--lengths", "200",
                       "--depths", "0.5", "--trials", "1", "--resume", path("items")})
                  .at("grid")
                  .size(),
              1U);
    EXPECT_TRUE(json_of({"eval", "ruler", "small", "--haystack", text, "--tasks", "niah_single",
                         "--lengths", "300", "--samples", "1"})
                    .at("mean")
                    .is_number());
    const std::string line = "{\"text\":\"a b\xff c\", \"dataset\":\"hotpotqa\"}\n";
    EXPECT_THAT(refusal({"eval", "zeroshot", "small", "--task", "lambada", "--data",
                         file("bad.jsonl", line)},
                        1),
                HasSubstr("bad.jsonl:1"));
    EXPECT_THAT(refusal({"eval", "longbench", "small", "--data", path("bad.jsonl")}, 1),
                HasSubstr("bad.jsonl:1"));
}

TEST_F(HostileEvals, MalformedLinesAreNamedByFileAndLine) {
    // A good record, and behind it a bad one of each kind.
    const std::map<std::string, std::string> tasks = {{"piqa", records("piqa_labelled.jsonl")},
                                                      {"lambada", records("lambada.jsonl")},
                                                      {"arc", records("arc.jsonl")},
                                                      {"hellaswag", records("hellaswag.jsonl")},
                                                      {"winogrande", records("winogrande.jsonl")}};
    const auto first_line = [](const std::string& path) {
        std::ifstream in(path);
        std::string line;
        std::getline(in, line);
        return line + "\n\n";
    };
    for (const char* bad : {"{\"text\": ", "[]", "5", "{}", "nonsense", "{\"a\":1}}"}) {
        for (const auto& [task, good] : tasks) {
            SCOPED_TRACE(task + " " + bad);
            EXPECT_THAT(refusal({"eval", "zeroshot", "small", "--task", task, "--data",
                                 file("bad.jsonl", first_line(good) + bad + "\n")},
                                1),
                        HasSubstr(path("bad.jsonl") + ":3"));
        }
        EXPECT_THAT(refusal({"eval", "longbench", "small", "--data",
                             file("bad.jsonl", first_line(records("hotpotqa.jsonl")) + bad)},
                            1),
                    HasSubstr(path("bad.jsonl") + ":3"));
        // The journals of all evaluations have one reader.
        const Command command = {"eval",
                                 "zeroshot",
                                 "small",
                                 "--task",
                                 "lambada",
                                 "--data",
                                 records("lambada.jsonl"),
                                 "--resume",
                                 path("items")};
        static_cast<void>(json_of(command));
        static_cast<void>(file("items", first_line(path("items")) + bad + "\n"));
        EXPECT_THAT(refusal(command, 1), HasSubstr(path("items")));
        std::filesystem::remove(path("items"));
    }
}

TEST_F(HostileEvals, PlansOfAnotherModel) {
    const std::string plan = path("other.plan");
    static_cast<void>(json_of(
        {"plan", golden("llama-mha"), "--method", "streaming", "--window", "64", "-o", plan}));
    for (const Command& command : evaluations()) {
        EXPECT_THAT(refusal(command + Command{"--plan", plan}, 2),
                    AllOf(HasSubstr("plan made for another model"), HasSubstr(plan)));
    }
}

TEST_F(HostileEvals, AModelMayFollowALists) {
    const std::string text = file("text.txt", words(600));
    EXPECT_EQ(json_of({"eval", "ruler", "--tasks", "niah_single", "--lengths", "300", "small",
                       "--samples", "1"})
                  .at("tasks")
                  .size(),
              1U);
    EXPECT_EQ(json_of({"eval", "ruler", "--lengths", "300", "--tasks", "niah_single,vt", "small",
                       "--samples", "1"})
                  .at("tasks")
                  .size(),
              2U);
    EXPECT_EQ(json_of({"calibrate", "--text", text, "small", "--sequences", "1", "--length", "64",
                       "-o", path("stats")})
                  .at("sequences"),
              1);
    static_cast<void>(json_of(
        {"plan", "--method", "streaming", "--window", "64", "small", "-o", path("a.plan")}));
    static_cast<void>(json_of({"plan", "small", "--method", "eigen", "--stats", path("stats"),
                               "--keep", "0.5", "--allocation", "uniform", "-o", path("b.plan")}));
    static_cast<void>(json_of(
        {"plan", "--compose", path("a.plan"), path("b.plan"), "small", "-o", path("c.plan")}));
    EXPECT_THAT(
        refusal({"plan", "--compose", path("a.plan"), path("b.plan"), "-o", path("c.plan")}, 2),
        HasSubstr("model is required"));
    EXPECT_THAT(refusal({"calibrate", "--text", text, "-o", path("stats")}, 2),
                HasSubstr("model is required"));
}

TEST_F(HostileEvals, EveryHelpShowsAnExample) {
    for (const Command& command : std::vector<Command>{{},
                                                       {"eval"},
                                                       {"eval", "perplexity"},
                                                       {"eval", "zeroshot"},
                                                       {"eval", "needle"},
                                                       {"eval", "ruler"},
                                                       {"eval", "longbench"}}) {
        const Result help = run(command + Command{"--help"});
        EXPECT_EQ(help.exit_code, 0);
        EXPECT_THAT(help.out, HasSubstr("Example: lowkey ")) << ::testing::PrintToString(command);
    }
}

}  // namespace
}  // namespace lowkey
