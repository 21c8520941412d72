// No result takes the place of what it is made of: every command, every output, every input.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "compress/plan_file.h"
#include "tests/cli/program.h"

namespace lowkey {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Outputs : public Program {
protected:
    Outputs() {
        fs::create_directory(path("texts"));
        static_cast<void>(file("texts/a.txt", kText));
        PlanFile plan;
        plan.method = "none";
        const nlohmann::json info = json_of({"info", model_});
        plan.head_dim = info.at("head_dim");
        plan.fingerprint = info.at("fingerprint");
        plan.plan = CachePlan::dense(info.at("num_layers"), info.at("num_kv_heads"));
        write_plan(path("a.plan"), plan);
        write_plan(path("b.plan"), plan);
    }

    /// Everything in the folder, by name.
    [[nodiscard]] std::map<std::string, std::string> snapshot() const {
        std::map<std::string, std::string> files;
        for (const auto& entry : fs::recursive_directory_iterator(path("."))) {
            if (!entry.is_regular_file()) continue;
            std::ifstream in(entry.path(), std::ios::binary);
            files[entry.path().string()] = {std::istreambuf_iterator<char>(in), {}};
        }
        return files;
    }

    /// Each output in turn names each input, by its own name and by links, and is refused.
    void expect_kept(const Command& command, const std::string& output,
                     const std::vector<std::string>& inputs) const {
        for (const std::string& input : inputs) {
            const std::string extension = fs::path(input).extension().string();
            const std::string link = path("link" + extension);
            const std::string hard = path("hard" + extension);
            fs::create_symlink(input, link);
            fs::create_hard_link(input, hard);
            const auto before = snapshot();
            for (const std::string& name : {input, link, hard}) {
                const std::string message = refusal(command + Command{output, name}, 2);
                EXPECT_THAT(message, AllOf(HasSubstr("the result would replace"), HasSubstr(name)));
                EXPECT_TRUE(snapshot() == before) << command.front() << " " << name;
            }
            fs::remove(link);
            fs::remove(hard);
        }
    }

    static constexpr char kText[] = "Once upon a time there was a text that nobody may lose.\n";
    std::string model_ = copy_of("llama-mha");
    std::string ids_ = write_ids("ids", {1, 2, 3, 4, 5, 6, 7, 8});
    std::string text_ = file("t.txt", kText);
    std::string weights_ = model_ + "/model.safetensors";
    std::string config_ = model_ + "/config.json";
    std::string plan_ = path("a.plan");
    std::string texts_ = path("texts");
    std::string some_ = path("texts/a.txt");
};

TEST_F(Outputs, NeverReplaceAnInput) {
    const std::string b = path("b.plan");
    expect_kept({"calibrate", model_, "--text", text_}, "-o", {text_, weights_, config_});
    expect_kept({"calibrate", model_, "--ids", ids_}, "-o", {ids_, weights_});
    expect_kept({"plan", model_, "--method", "full"}, "-o", {weights_, config_});
    expect_kept({"plan", model_, "--method", "eigen", "--stats", text_}, "-o", {text_});
    expect_kept({"plan", model_, "--method", "razor", "--ids", ids_}, "-o", {ids_});
    expect_kept({"plan", model_, "--compose", plan_, b}, "-o", {plan_, b});
    expect_kept({"logits", model_, "--ids", ids_, "--plan", plan_}, "-o", {ids_, plan_, weights_});
    expect_kept({"inspect", plan_}, "--plot", {plan_});
    expect_kept({"bench", model_, "--plan", plan_}, "--plot", {plan_, weights_});
    expect_kept({"bench", "--config", config_, "--random"}, "--plot", {config_});
    const Command needle = {"eval", "needle", model_, "--haystack", texts_, "--plan", plan_};
    const Command perplexity = {"eval", "perplexity", model_, "--text", text_, "--plan", plan_};
    expect_kept(needle, "--plot", {some_, plan_, weights_});
    expect_kept(needle, "--resume", {some_, plan_, weights_});
    expect_kept(perplexity, "--resume", {text_, plan_, config_});
    expect_kept({"eval", "perplexity", model_, "--ids", ids_}, "--resume", {ids_});
    expect_kept({"eval", "ruler", model_, "--haystack", some_}, "--resume", {some_, weights_});
    expect_kept({"eval", "zeroshot", model_, "--task", "piqa", "--data", text_}, "--resume",
                {text_, weights_});
    expect_kept({"eval", "longbench", model_, "--data", text_}, "--resume", {text_, weights_});
    const Command compare = {"compare",    model_, "--text", text_,
                             "--haystack", texts_, "--plan", plan_};
    expect_kept(compare + Command{"-o", path("r.html")}, "--resume", {text_, some_, plan_});
    // Its page, and what is written beside it.
    for (const char* name : {"s.html", "s.md", "s.json"}) {
        const std::string input = file(name, kText);
        const auto before = snapshot();
        EXPECT_THAT(refusal({"compare", model_, "--text", input, "-o", path("s.html")}, 2),
                    HasSubstr("the result would replace what it is made of"));
        EXPECT_TRUE(snapshot() == before) << name;
        fs::remove(input);
    }
}

TEST_F(Outputs, NeverReplaceEachOther) {
    EXPECT_THAT(refusal({"compare", model_, "--text", text_, "-o", path("r.html"), "--resume",
                         path("texts/../r.json")},
                        2),
                HasSubstr("two results would be one file"));
    EXPECT_THAT(refusal({"eval", "needle", model_, "--haystack", texts_, "--plot", path("x"),
                         "--resume", path("x")},
                        2),
                HasSubstr("two results would be one file"));
}

TEST_F(Outputs, NeverBecomePartOfTheModel) {
    EXPECT_THAT(refusal({"plan", model_, "--method", "full", "-o", model_ + "/tokenizer.json"}, 2),
                HasSubstr("would become a part of the model"));
    EXPECT_FALSE(fs::exists(model_ + "/tokenizer.json"));
    // Beside its files there is room, more than once.
    for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(run({"plan", model_, "--method", "full", "-o", model_ + "/full.plan"}).exit_code,
                  0);
    }
}

TEST_F(Outputs, MayGoIntoDevicesPipesAndLinks) {
    const Command plan = {"plan", model_, "--method", "full", "-o"};
    const Result piped = run(plan + Command{"/dev/stdout"});
    EXPECT_EQ(piped.exit_code, 0) << piped.err;
    static_cast<void>(file("piped.plan", piped.out));
    EXPECT_EQ(json_of({"inspect", path("piped.plan")}).at("method"), "full");
    fs::create_symlink("target.plan", path("link.plan"));
    EXPECT_EQ(run(plan + Command{path("link.plan")}).exit_code, 0);
    EXPECT_TRUE(fs::is_symlink(path("link.plan")));
    EXPECT_EQ(read("target.plan"), piped.out);
}

TEST_F(Outputs, NothingIsLeftBesideDevicesAndPipes) {
    const Command calibrate = {"calibrate", "small", "--ids", ids_, "-o"};
    const std::string pipe = path("pipe");
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    ASSERT_EQ(::mkfifo(path("waits.part").c_str(), 0600), 0);
    const int both_ends = ::open(pipe.c_str(), O_RDWR | O_NONBLOCK);
    ASSERT_GE(both_ends, 0);
    EXPECT_EQ(run({"plan", "small", "--method", "full", "-o", pipe}).exit_code, 0);
    ::close(both_ends);
    EXPECT_FALSE(fs::exists(pipe + ".part"));
    EXPECT_EQ(run(calibrate + Command{"/dev/null"}).exit_code, 0);
    EXPECT_FALSE(fs::exists("/dev/null.part"));
    // A journal's name that something else has is left alone, and waited for by nobody.
    EXPECT_EQ(run({"plan", "small", "--method", "full", "-o", path("waits")}).exit_code, 0);
    EXPECT_TRUE(fs::exists(path("waits.part")));
}

TEST_F(Outputs, InputsThatWouldWaitAreRefused) {
    const std::string pipe = path("pipe");
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    const auto refused = [&](const Command& command) {
        EXPECT_THAT(refusal(command, 1), HasSubstr("not a regular file: " + pipe));
    };
    refused({"eval", "perplexity", "small", "--text", pipe});
    refused({"calibrate", "small", "--text", pipe, "-o", path("stats")});
    refused({"generate", "small", "-f", pipe});
    refused({"generate", "small", "-p", "a", "--plan", pipe});
    refused({"tokenize", "small", "--file", pipe});
    refused({"logits", "small", "--ids", pipe, "-o", path("out")});
    refused({"template", "--template", pipe, "--messages", text_});
    refused({"eval", "longbench", "small", "--data", pipe});
    refused({"inspect", pipe});
    for (const char* part : {"config.json", "model.safetensors", "generation_config.json",
                             "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
        const std::string model = path("small");
        fs::create_directory(model);
        for (const auto& entry : fs::directory_iterator(LOWKEY_SMALL_MODEL))
            fs::create_symlink(entry.path(), fs::path(model) / entry.path().filename());
        fs::remove(fs::path(model) / part);
        if (part != std::string("chat_template.jinja"))
            static_cast<void>(file("small/chat_template.jinja", "{{ messages[0].content }}"));
        ASSERT_EQ(::mkfifo((fs::path(model) / part).c_str(), 0600), 0);
        EXPECT_THAT(refusal({"generate", model, "--chat", "-p", "a"}, 1),
                    HasSubstr("not a regular file: " + model + "/" + part));
        fs::remove_all(model);
    }
}

}  // namespace
}  // namespace lowkey
