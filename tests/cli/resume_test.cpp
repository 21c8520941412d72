// Evaluations that are stopped by Ctrl-C and by kill -9, and go on: all five, as a user would.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "tests/cli/program.h"

namespace lowkey {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Resume : public Program {
protected:
    /// A text of some hundred tokens.
    [[nodiscard]] std::string text() const {
        std::string out;
        for (int i = 0; i < 80; ++i) {
            out += "On day " + std::to_string(i * 37 % 101) +
                   " the keeper of the lighthouse wrote down the wind and lit his lamp. ";
        }
        return file("text.txt", out);
    }
    /// `count` records, one a line.
    [[nodiscard]] std::string records(const std::string& name, const json& record,
                                      int64_t count) const {
        std::string out;
        for (int64_t i = 0; i < count; ++i) out += record.dump() + "\n";
        return file(name, out);
    }
    /// Lines that are whole: the settings and finished items.
    [[nodiscard]] int64_t finished_items() const {
        const std::string lines = read("items.jsonl");
        return std::max<int64_t>(std::count(lines.begin(), lines.end(), '\n') - 1, 0);
    }
    /// A run with --resume that gets `signal` once `items` more items are finished. Returns its
    /// wait status; what it said is in the file "said".
    [[nodiscard]] int run_until(const Command& command, int64_t items, int signal) const {
        const Command all =
            Command{LOWKEY_PROGRAM} + command + Command{"--resume", path("items.jsonl")};
        std::vector<char*> arguments;
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): exec writes nothing
        for (const std::string& word : all) arguments.push_back(const_cast<char*>(word.c_str()));
        arguments.push_back(nullptr);
        const std::string said = path("said");
        const int64_t wanted = finished_items() + items;
        const pid_t child = fork();
        if (child == 0) {
            const int output = open(said.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
            dup2(output, STDOUT_FILENO);
            dup2(output, STDERR_FILENO);
            execv(arguments[0], arguments.data());
            _exit(127);
        }
        int status = 0;
        while (finished_items() < wanted) {
            if (waitpid(child, &status, WNOHANG) == child) return status;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        kill(child, signal);
        waitpid(child, &status, 0);
        return status;
    }
    /// What an evaluation of `count` items must stand: Ctrl-C, then kill -9, then the rest.
    void expect_goes_on(const Command& command, int64_t count) const {
        const json whole = json_of(command);
        const int interrupted = run_until(command, 1, SIGINT);
        const int64_t kept = finished_items();
        EXPECT_TRUE(WIFEXITED(interrupted) && WEXITSTATUS(interrupted) == 1) << interrupted;
        EXPECT_THAT(read("said"),
                    AllOf(HasSubstr("lowkey: error: stopped after " + std::to_string(kept) +
                                    " of " + std::to_string(count) + " items: "),
                          HasSubstr("give the same command again")));
        ASSERT_LT(kept, count) << "too fast to be stopped";

        const int killed = run_until(command, 1, SIGKILL);
        EXPECT_TRUE(WIFSIGNALED(killed) && WTERMSIG(killed) == SIGKILL) << read("said");
        // What stood in the file when the signal came stays; only the item that ran is lost.
        const std::string before = read("items.jsonl");
        EXPECT_GE(finished_items(), kept + 1);
        EXPECT_EQ(json_of(command + Command{"--resume", path("items.jsonl")}), whole);
        EXPECT_EQ(finished_items(), count) << "each item ran once";
        EXPECT_EQ(read("items.jsonl").rfind(before.substr(0, before.rfind('\n') + 1), 0), 0);
    }
};

TEST_F(Resume, Perplexity) {
    expect_goes_on({"eval", "perplexity", "small", "--text", text(), "--length", "64", "--limit",
                    "20", "--prefill", "40"},
                   20);
}

TEST_F(Resume, Zeroshot) {
    const json record = {{"goal", "How do I keep bread fresh for some days?"},
                         {"sol1", "Keep it in a cotton bag in a dark place."},
                         {"sol2", "Keep it in a bucket of water in the sun."},
                         {"label", 0}};
    expect_goes_on({"eval", "zeroshot", "small", "--task", "piqa", "--data",
                    records("piqa.jsonl", record, 25)},
                   25);
}

TEST_F(Resume, Needle) {
    expect_goes_on({"eval", "needle", "small", "--haystack", text(), "--lengths", "200", "--depths",
                    "0,0.5,1", "--trials", "4"},
                   12);
}

TEST_F(Resume, Ruler) {
    expect_goes_on({"eval", "ruler", "small", "--tasks", "niah_single,niah_multikey", "--lengths",
                    "400", "--samples", "5"},
                   10);
}

TEST_F(Resume, LongBench) {
    const json record = {{"input", "Who kept the lamp?"}, {"context", "The old man kept the lamp."},
                         {"answers", {"the old man"}},    {"length", 6},
                         {"dataset", "hotpotqa"},         {"language", "en"},
                         {"all_classes", nullptr},        {"_id", "1"}};
    expect_goes_on({"eval", "longbench", "small", "--data", records("qa.jsonl", record, 12)}, 12);
}

TEST_F(Resume, EverySettingOfPerplexityIsRefusedByName) {
    const std::string ids = write_ids("ids", std::vector<int64_t>(64, 7), 4);
    const Command command = {"eval",     "perplexity",       "small", "--ids", ids,
                             "--resume", path("items.jsonl")};
    const json whole = json_of(command);
    EXPECT_EQ(json_of(command), whole);
    for (const auto& [change, what] : std::map<Command, std::string>{
             {{"--length", "8"}, "length is null there, now 8"},
             {{"--prefill", "4"}, "prefill is null there, now 4"},
             {{"--limit", "2"}, "limit is 0 there, now 2"},
             {{"--bos"}, "bos is null there, now 0"},
             {{"--reference"}, "reference is false there, now true"},
             {{"--dtype", "f32"}, "dtype is \"bf16\" there, now \"f32\""},
             {{"--isa", "portable"}, "now \"portable\""},
             {{"--threads", "3"}, "now 3"},
             {{"--kv-budget", "100MiB"}, "kv_budget is \"\" there, now \"100MiB\""},
             {{"--chunk", "16"}, "chunk is 512 there, now 16"}}) {
        EXPECT_THAT(refusal(command + change, 2),
                    AllOf(HasSubstr("other settings"), HasSubstr(what)));
    }
    static_cast<void>(write_ids("ids", std::vector<int64_t>(64, 8), 4));
    EXPECT_THAT(refusal(command, 2), HasSubstr("data is "));
}

TEST_F(Resume, AnotherTokenizerIsAnotherSetting) {
    // The same weights beside a tokenizer that is not quite the same.
    const std::string model = path("model");
    std::filesystem::create_directory(model);
    for (const auto& entry : std::filesystem::directory_iterator(LOWKEY_SMALL_MODEL))
        std::filesystem::create_symlink(entry.path(), model / entry.path().filename());
    const Command command = {
        "eval",    "perplexity", model,      "--text",           text(), "--length", "64",
        "--limit", "1",          "--resume", path("items.jsonl")};
    static_cast<void>(json_of(command));
    const std::string config = read("model/tokenizer_config.json");
    std::filesystem::remove(path("model/tokenizer_config.json"));
    static_cast<void>(file("model/tokenizer_config.json", config + "\n"));
    EXPECT_THAT(refusal(command, 2),
                HasSubstr("other settings: " + path("items.jsonl") + "; tokenizer is "));
}

}  // namespace
}  // namespace lowkey
