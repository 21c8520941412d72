// `lowkey chat`, scripted: each line of standard input is a message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

#include "tests/cli/program.h"

namespace lowkey {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ChatCommand : public Program {
protected:
    [[nodiscard]] std::vector<std::string> command(const std::vector<std::string>& more) const {
        std::vector<std::string> all = {"chat", "small", "--template", template_, "--verbose"};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    /// What the model says next.
    [[nodiscard]] std::string continued(const std::string& prompt,
                                        const std::string& tokens) const {
        return json_of({"generate", "small", "-p", prompt, "-n", tokens}).at("text");
    }

    /// Whether this stands in the file `err` before long.
    [[nodiscard]] bool says(const std::string& text) const {
        for (int i = 0; i < 30'000; ++i) {
            if (read("err").find(text) != std::string::npos) return true;
            usleep(1000);
        }
        return false;
    }

    // generate puts bos first by itself, as this does.
    std::string template_ = file("t.jinja",
                                 "{{ bos_token }}{% for m in messages %}{{ m.content }}\n"
                                 "{% endfor %}");
};

TEST_F(ChatCommand, AnswersEveryLine) {
    const Result result = run(command({"-n", "5"}), "Once upon\n\nAnd then\n");
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const std::string first = continued("Once upon\n", "5");
    const std::string second = continued("Once upon\n" + first + "\nAnd then\n", "5");
    const auto line = [](const std::string& text) {
        return text.ends_with('\n') ? text : text + "\n";
    };
    EXPECT_EQ(result.out, line(first) + line(second));
    EXPECT_THAT(result.err, HasSubstr(" prompt tokens were in the cache; 5 generated (length)"));
}

TEST_F(ChatCommand, KnowsCommands) {
    const Result result =
        run(command({"-n", "1", "--system", "Be"}),
            "/help\nHello\n/clear\n/system Other\nHello\n/system\n/exit\nnever\n");
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, AllOf(HasSubstr("/clear"), HasSubstr(continued("Be\nHello\n", "1")),
                                  HasSubstr(continued("Other\nHello\n", "1"))));
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("the conversation was written anew"), Not(HasSubstr("error"))));
}

TEST_F(ChatCommand, GoesOnAfterErrorsButSaysSo) {
    std::string words;
    for (int i = 0; i < 100; ++i) words += "word ";
    const Result result = run(command({"-n", "2", "--max-context", "40"}),
                              "Hello\n/nonsense\n" + words + "\nAgain\n");
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.err, AllOf(HasSubstr("unknown command: /nonsense; see /help"),
                                  HasSubstr("does not fit the context of 40; clear it"),
                                  HasSubstr("lines refused: 2")));
    EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n') >= 2, true) << result.out;
}

TEST_F(ChatCommand, SaysWhenTheContextIsFull) {
    const Result result = run(command({"-n", "100", "--max-context", "20"}), "Hello\n");
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.err, HasSubstr("the context is full; /clear starts anew"));
}

TEST_F(ChatCommand, NeedsATemplate) {
    const Result result = run({"chat", "small"}, "Hello\n");
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("the model has no chat template"), HasSubstr("--template FILE")));
}

TEST_F(ChatCommand, JsonHoldsAllTurns) {
    const Result result = run(command({"-n", "3", "--json"}), "Once upon\n/nonsense\nAnd then\n");
    EXPECT_EQ(result.exit_code, 1) << "a line was refused";
    const nlohmann::json json = result.json();
    ASSERT_EQ(json.at("turns").size(), 3);
    const nlohmann::json& first = json.at("turns")[0];
    EXPECT_EQ(first.at("prompt"), "Once upon");
    EXPECT_EQ(first.at("text"), continued("Once upon\n", "3"));
    EXPECT_EQ(first.at("ids").size(), 3);
    EXPECT_EQ(first.at("finish_reason"), "length");
    EXPECT_THAT(json.at("turns")[1].at("error").get<std::string>(), HasSubstr("/nonsense"));
    EXPECT_EQ(json.at("sampling").at("temperature"), 0);
    EXPECT_THAT(result.err, HasSubstr(first.at("text").get<std::string>()));
}

TEST_F(ChatCommand, OneQuestionIsAskedByGenerate) {
    const nlohmann::json asked = json_of({"generate", "small", "--chat", "--template", template_,
                                          "--system", "Be", "-p", "Hello", "-n", "4"});
    EXPECT_EQ(asked.at("text"), continued("Be\nHello\n", "4"));
    EXPECT_EQ(run({"generate", "small", "-p", "a", "--system", "b"}).exit_code, 2);
    EXPECT_THAT(refusal({"generate", "small", "--chat", "-p", "a"}, 1),
                AllOf(HasSubstr("the model has no chat template"), HasSubstr("Instruct")));
}

// One place decides how a model samples and stops: all ways to generate agree.
TEST_F(ChatCommand, SamplesAndStopsAsTheModelSays) {
    std::filesystem::copy(LOWKEY_SMALL_MODEL, path("m"));
    std::filesystem::remove(path("m/generation_config.json"));
    const auto id = json_of({"tokenize", "small", "--text", " the", "--no-special"}).at("ids")[0];
    const nlohmann::json config = {{"do_sample", true},
                                   {"temperature", 0.9},
                                   {"top_k", 40},
                                   {"repetition_penalty", 1.2},
                                   {"eos_token_id", id}};
    static_cast<void>(file("m/generation_config.json", config.dump()));
    const nlohmann::json own = json_of({"generate", path("m"), "-p", "Once upon\n", "-n", "60"});
    const nlohmann::json same =
        json_of({"generate", "small", "-p", "Once upon\n", "-n", "60", "--temperature", "0.9",
                 "--top-k", "40", "--repeat-penalty", "1.2", "--stop", " the"});
    EXPECT_EQ(own.at("sampling"), same.at("sampling"));
    EXPECT_EQ(own.at("finish_reason"), "eos");
    EXPECT_EQ(own.at("ids").back(), id);
    EXPECT_EQ(own.at("ids"), same.at("ids"));
    const Result chat =
        run({"chat", path("m"), "--template", template_, "-n", "60", "--json"}, "Once upon\n");
    EXPECT_EQ(chat.json().at("turns")[0].at("ids"), own.at("ids"));
    EXPECT_EQ(json_of({"generate", path("m"), "-p", "Once upon\n", "-n", "4", "--temperature", "0",
                       "--repeat-penalty", "1", "--ignore-eos"})
                  .at("ids"),
              json_of({"generate", "small", "-p", "Once upon\n", "-n", "4"}).at("ids"))
        << "flags win";
}

/// The program with its input and output in pipes, to be interrupted.
class RunningChat {
public:
    explicit RunningChat(std::vector<std::string> arguments, const std::string& stderr_path) {
        int to[2];
        int from[2];
        if (pipe(to) != 0 || pipe(from) != 0) throw std::runtime_error("no pipes");
        pid_ = fork();
        if (pid_ == 0) {
            dup2(to[0], STDIN_FILENO);
            dup2(from[1], STDOUT_FILENO);
            for (const int end : {to[0], to[1], from[0], from[1]}) close(end);
            if (std::freopen(stderr_path.c_str(), "w", stderr) == nullptr) _exit(3);
            arguments.insert(arguments.begin(), LOWKEY_PROGRAM);
            std::vector<char*> words;
            words.reserve(arguments.size() + 1);
            for (std::string& argument : arguments) words.push_back(argument.data());
            words.push_back(nullptr);
            execv(LOWKEY_PROGRAM, words.data());
            _exit(3);
        }
        close(to[0]);
        close(from[1]);
        input_ = to[1];
        output_ = from[0];
    }
    ~RunningChat() {
        if (input_ >= 0) close(input_);
        close(output_);
    }
    RunningChat(const RunningChat&) = delete;
    RunningChat& operator=(const RunningChat&) = delete;

    void say(const std::string& text) const {
        if (write(input_, text.data(), text.size()) < 0) throw std::runtime_error("cannot write");
    }
    [[nodiscard]] std::string read_some() const {
        std::array<char, 4096> buffer{};
        const ssize_t count = read(output_, buffer.data(), buffer.size());
        return {buffer.data(), static_cast<size_t>(std::max<ssize_t>(count, 0))};
    }
    void interrupt() const { kill(pid_, SIGINT); }
    /// Ends its input and returns its exit code.
    int finish() {
        close(std::exchange(input_, -1));
        while (!read_some().empty()) {
        }
        int status = 0;
        waitpid(pid_, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

private:
    pid_t pid_ = 0;
    int input_ = -1;
    int output_ = -1;
};

TEST_F(ChatCommand, AnInterruptEndsTheAnswerOnly) {
    RunningChat chat(command({"-n", "1000000"}), path("err"));
    chat.say("Once upon a time\n");
    EXPECT_NE(chat.read_some(), "");
    chat.interrupt();
    ASSERT_TRUE(says("(interrupted)")) << read("err");
    chat.say("/system Still there\n/exit\n");
    EXPECT_EQ(chat.finish(), 0);
}

TEST_F(ChatCommand, AnInterruptAtThePromptLeaves) {
    RunningChat chat(command({"-n", "1"}), path("err"));
    chat.say("Hello\n");
    EXPECT_NE(chat.read_some(), "");
    ASSERT_TRUE(says("generated")) << read("err");
    usleep(100'000);
    chat.interrupt();
    EXPECT_EQ(chat.finish(), 0);
}

}  // namespace
}  // namespace lowkey
