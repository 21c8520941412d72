// `compare` and `demo` as a user runs them: three files, one table, and what a stopped run leaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "tests/cli/program.h"
#include "tests/report/well_formed.h"

namespace lowkey {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Compare : public Program {
protected:
    Compare() {
        std::string words;
        for (int i = 0; i < 80; ++i) words += "The boat came in at dawn, and it was number 7. ";
        text_ = file("a text.txt", words);
        static_cast<void>(json_of({"plan", "small", "--method", "streaming", "--window", "64", "-o",
                                   path("streaming.plan")}));
    }
    [[nodiscard]] std::vector<std::string> command(
        const std::vector<std::string>& more = {}) const {
        std::vector<std::string> out = {"compare",
                                        "small",
                                        "--plan",
                                        path("streaming.plan"),
                                        "--text",
                                        text_,
                                        "--length",
                                        "96",
                                        "--max-tokens",
                                        "192",
                                        "-n",
                                        "4",
                                        "--haystack",
                                        text_,
                                        "--lengths",
                                        "200",
                                        "--needle-depths",
                                        "0,1",
                                        "--trials",
                                        "1",
                                        "-o",
                                        path("report.html")};
        out.insert(out.end(), more.begin(), more.end());
        return out;
    }
    /// The same with another value of an option.
    [[nodiscard]] std::vector<std::string> with(const std::string& option, const std::string& value,
                                                const std::vector<std::string>& more = {
                                                    "--no-speed"}) const {
        std::vector<std::string> words = command(more);
        for (size_t i = 0; i + 1 < words.size(); ++i) {
            if (words[i] == option) words[i + 1] = value;
        }
        return words;
    }
    [[nodiscard]] bool exists(const std::string& name) const {
        return std::filesystem::exists(path(name));
    }
    std::string text_;
};

TEST_F(Compare, WritesAPageASummaryAndNumbers) {
    const Result result = run(command({"--depths", "0,64", "--generate", "2", "--repeat", "1"}));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, AllOf(HasSubstr("streaming"), HasSubstr("needles"),
                                  HasSubstr("tokens/s at 64"), HasSubstr("report.html")));
    EXPECT_EQ(result.out.find('\x1b'), std::string::npos) << "colours are for terminals";
    const std::string page = read("report.html");
    EXPECT_EQ(xml_fault(page), "");
    EXPECT_LT(page.size(), 1000000u);
    EXPECT_EQ(page.find(path("")), std::string::npos) << "no folders of this machine";
    EXPECT_THAT(page, HasSubstr("lowkey compare small --plan streaming.plan"));
    EXPECT_THAT(page, HasSubstr("&#39;a text.txt&#39;"));
    EXPECT_THAT(read("report.md"), HasSubstr("| streaming |"));
    EXPECT_EQ(json::parse(read("report.json")).at("caches").size(), 2u);
}

TEST_F(Compare, JsonIsTheNumbers) {
    const json result = json_of(command({"--no-speed"}));
    EXPECT_EQ(result, json::parse(read("report.json")));
    EXPECT_EQ(result.at("text").at("windows"), 2);
    EXPECT_EQ(result.at("text").at("prefill"), 72);
    EXPECT_EQ(result.at("caches")[1].at("name"), "streaming");
    EXPECT_EQ(result.at("caches")[1].at("needle").at("prompts"), 2);
    EXPECT_EQ(result.at("caches")[0].at("text").at("mean_kl"), 0);
}

TEST_F(Compare, AKilledRunGoesOnAndEndsTheSame) {
    const json whole = json_of(command({"--no-speed"}));
    const std::vector<std::string> resumed = command({"--no-speed", "--resume", path("j.jsonl")});
    EXPECT_EQ(json_of(resumed), whole);
    const std::string text = read("j.jsonl");
    for (const size_t kept : {text.size() / 3, text.size() / 2, text.size() - 5}) {
        static_cast<void>(file("j.jsonl", text.substr(0, kept)));
        EXPECT_EQ(json_of(resumed), whole) << kept;
    }
    EXPECT_THAT(refusal(command({"--no-speed", "--resume", path("j.jsonl"), "--seed", "5"}), 2),
                AllOf(HasSubstr("other settings"), HasSubstr("seed is 0 there, now 5")));
}

TEST_F(Compare, APromptThatIsNoUtf8GoesOnToo) {
    const auto with_prompt = [&](const std::string& prompt) {
        return command({"--no-speed", "--resume", path("j.jsonl"), "--prompt", prompt});
    };
    const json first = json_of(with_prompt("a\xff"));
    EXPECT_EQ(json_of(with_prompt("a\xff")), first);
    EXPECT_THAT(refusal(with_prompt("b\xff"), 2), HasSubstr("other settings"));
}

TEST_F(Compare, CtrlCLeavesNoReport) {
    std::vector<std::string> slow =
        with("--trials", "1000", {"--no-speed", "--resume", path("j.jsonl")});
    const pid_t child = fork();
    if (child == 0) {
        std::vector<char*> arguments;
        std::string program = LOWKEY_PROGRAM;
        arguments.push_back(program.data());
        for (std::string& argument : slow) arguments.push_back(argument.data());
        arguments.push_back(nullptr);
        static_cast<void>(freopen(path("out").c_str(), "w", stdout));
        static_cast<void>(freopen(path("err").c_str(), "w", stderr));
        execv(arguments[0], arguments.data());
        _exit(127);
    }
    // Once an item is in the journal it is on its way.
    for (int i = 0; i < 600 && (!exists("j.jsonl") || std::ssize(read("j.jsonl")) < 2000); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    kill(child, SIGINT);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 1);
    EXPECT_THAT(read("err"), AllOf(HasSubstr("lowkey: error: stopped after"),
                                   HasSubstr("give the same command again")));
    for (const char* name : {"report.html", "report.md", "report.json"})
        EXPECT_FALSE(exists(name)) << name;
    for (const auto& entry : std::filesystem::directory_iterator(path("")))
        EXPECT_EQ(entry.path().filename().string().find("report"), std::string::npos)
            << entry.path();
}

TEST_F(Compare, BadInputIsOneLine) {
    EXPECT_THAT(refusal(with("--text", path("missing")), 1), HasSubstr("missing"));
    EXPECT_THAT(refusal(with("--text", file("short", "A few words.")), 2),
                HasSubstr("one window takes 96"));
    EXPECT_THAT(refusal(with("--plan", text_), 1), HasSubstr("a text.txt"));
    EXPECT_THAT(refusal(with("-o", path("nowhere/report.html")), 1), HasSubstr("nowhere"));
    EXPECT_THAT(refusal(with("-o", path("report.txt")), 2), HasSubstr("ends in .html"));
    EXPECT_THAT(refusal(with("--haystack", path("none")), 1), HasSubstr("none"));
    EXPECT_THAT(refusal(command({"--task", "piqa"}), 2), HasSubstr("give both --task and --data"));
    EXPECT_THAT(refusal(command({"--prefill", "95"}), 2), HasSubstr("no target"));
    const std::string other = path("other.plan");
    static_cast<void>(json_of(
        {"plan", golden("llama-mha"), "--method", "streaming", "--window", "8", "-o", other}));
    EXPECT_THAT(refusal(with("--plan", other), 2), HasSubstr("other.plan"));
    EXPECT_FALSE(exists("report.html"));
}

TEST_F(Compare, PlansOfOneNameAreToldApart) {
    std::filesystem::create_directory(path("more"));
    std::filesystem::copy(path("streaming.plan"), path("more/streaming.plan"));
    const json result = json_of(command({"--no-speed", "--plan", path("more/streaming.plan")}));
    EXPECT_EQ(result.at("caches")[2].at("name"), "streaming (2)");
    EXPECT_EQ(result.at("caches")[2].at("text"), result.at("caches")[1].at("text"));
}

}  // namespace
}  // namespace lowkey
