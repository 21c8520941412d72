// Bad input: one line that says what, where and what to do; nothing half-written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compress/plan_file.h"
#include "tests/cli/program.h"

namespace lowkey {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Errors : public Program {
protected:
    /// A tiny checkpoint whose config.json has one key changed.
    [[nodiscard]] std::string model_with(const std::string& key, const json& value) const {
        std::string directory = copy_of("llama-mha");
        json config = json::parse(read("model/config.json"));
        config[key] = value;
        static_cast<void>(file("model/config.json", config.dump()));
        return directory;
    }
    /// All commands that read a checkpoint's weights say the same.
    void expect_refused(const std::string& model, const std::string& what) const {
        const std::string ids = write_ids("ids", {1, 2, 3});
        EXPECT_THAT(refusal({"generate", model, "--ids", ids}, 1), HasSubstr(what));
        EXPECT_THAT(refusal({"eval", "perplexity", model, "--ids", ids, "--length", "2"}, 1),
                    HasSubstr(what));
        EXPECT_THAT(refusal({"logits", model, "--ids", ids, "-o", path("out")}, 1),
                    HasSubstr(what));
        EXPECT_FALSE(std::filesystem::exists(path("out")));
    }
    std::string ids_ = write_ids("some_ids", {1, 2, 3, 4, 5, 6, 7, 8});
    std::string model_ = golden("llama-mha");
};

TEST_F(Errors, WrongUsage) {
    EXPECT_THAT(refusal({}, 2), HasSubstr("--help"));
    EXPECT_THAT(refusal({"frobnicate"}, 2), HasSubstr("unknown command: frobnicate"));
    EXPECT_THAT(refusal({"eval", "frobnicate"}, 2), HasSubstr("frobnicate"));
    EXPECT_THAT(refusal({"eval"}, 2), HasSubstr("--help"));
    EXPECT_THAT(refusal({"info"}, 2), HasSubstr("model"));
    EXPECT_THAT(refusal({"info", "small", "--frobnicate"}, 2), HasSubstr("--frobnicate"));
    EXPECT_THAT(refusal({"generate", "small"}, 2), HasSubstr("--prompt"));
    EXPECT_THAT(refusal({"generate", "small", "-p", "a", "-f", "b"}, 2), HasSubstr("--prompt"));
    EXPECT_THAT(refusal({"tokenize", "small"}, 2), HasSubstr("either --text or --file"));
    EXPECT_THAT(refusal({"eval", "perplexity", "small"}, 2), HasSubstr("either --text or --ids"));
}

TEST_F(Errors, BadFlagValues) {
    const std::vector<std::vector<std::string>> bad = {{"-n", "-1"},
                                                       {"-n", "many"},
                                                       {"-n", "1e99"},
                                                       {"--temperature", "-1"},
                                                       {"--temperature", "nan"},
                                                       {"--temperature", "hot"},
                                                       {"--top-p", "1.5"},
                                                       {"--top-k", "-3"},
                                                       {"--min-p", "2"},
                                                       {"--repeat-penalty", "0"},
                                                       {"--seed", "x"},
                                                       {"--stop", ""},
                                                       {"--threads", "0"},
                                                       {"--dtype", "f64"},
                                                       {"--max-context", "0"},
                                                       {"--kv-budget", "12 parsecs"},
                                                       {"--kv-budget", "-5"},
                                                       {"--kv-budget", ""},
                                                       {"--kv-budget", "99999999999999999999GiB"},
                                                       {"--prefill-chunk", "0"}};
    for (const std::vector<std::string>& flag : bad) {
        if (flag[0] == "--kv-budget" && flag[1].empty()) continue;  // an empty value is no value
        std::vector<std::string> command = {"generate", "small", "-p", "a"};
        command.insert(command.end(), flag.begin(), flag.end());
        SCOPED_TRACE(flag[0] + " " + flag[1]);
        static_cast<void>(refusal(command, 2));
    }
    for (const std::vector<std::string>& flag :
         std::vector<std::vector<std::string>>{{"--length", "1"},
                                               {"--length", "x"},
                                               {"--max-tokens", "0"},
                                               {"--prefill", "-1"},
                                               {"--sequences", "0"}}) {
        std::vector<std::string> command = {"eval", "perplexity", model_, "--ids", ids_};
        command.insert(command.end(), flag.begin(), flag.end());
        SCOPED_TRACE(flag[0] + " " + flag[1]);
        static_cast<void>(refusal(command, 2));
    }
}

TEST_F(Errors, ModelsThatAreNotThere) {
    EXPECT_THAT(refusal({"info", path("none")}, 1), HasSubstr(path("none")));
    EXPECT_THAT(refusal({"generate", path("none"), "-p", "a"}, 1), HasSubstr(path("none")));
    EXPECT_THAT(refusal({"tokenize", path("none"), "--text", "a"}, 1), HasSubstr(path("none")));
    EXPECT_THAT(refusal({"info", path(".")}, 1), HasSubstr("config.json"));
    EXPECT_THAT(refusal({"tokenize", model_, "--text", "a"}, 1), HasSubstr("tokenizer"));
    expect_refused(path("none"), path("none"));
}

TEST_F(Errors, BrokenConfigurations) {
    expect_refused(model_with("model_type", "mamba"), "unknown model family 'mamba'");
    expect_refused(model_with("hidden_size", "wide"), "hidden_size");
    expect_refused(model_with("num_hidden_layers", -1), "num_hidden_layers");
    static_cast<void>(copy_of("llama-mha"));
    static_cast<void>(file("model/config.json", "{\"model_type\": "));
    expect_refused(path("model"), "config.json");
}

TEST_F(Errors, BrokenWeights) {
    expect_refused(model_with("num_hidden_layers", 40), "model.layers.");
    expect_refused(model_with("intermediate_size", 2048), "2048");
    expect_refused(model_with("vocab_size", 70000), "70000");

    const std::string directory = copy_of("llama-mha");
    const std::string weights = read("model/model.safetensors");
    const auto spoiled = [&](const std::string& bytes) {
        return std::filesystem::path(file("model/model.safetensors", bytes)).parent_path().string();
    };
    expect_refused(spoiled(weights.substr(0, weights.size() / 2)), "model.safetensors");
    expect_refused(spoiled(weights.substr(0, 5)), "model.safetensors");
    expect_refused(spoiled(""), "model.safetensors");
    expect_refused(spoiled(std::string("\0\0\0\0\0\0\0\x80", 8) + weights.substr(8)),
                   "model.safetensors");
    expect_refused(spoiled(std::string(8, '\xff') + weights.substr(8)), "model.safetensors");
    expect_refused(spoiled(weights.substr(0, 8) + "[" + weights.substr(9)), "model.safetensors");
    std::filesystem::remove(path("model/model.safetensors"));
    expect_refused(directory, "model.safetensors");
}

TEST_F(Errors, Plans) {
    EXPECT_THAT(refusal({"generate", model_, "--ids", ids_, "--plan", path("none")}, 1),
                HasSubstr(path("none")));
    EXPECT_THAT(refusal({"generate", model_, "--ids", ids_, "--plan", ids_}, 1),
                HasSubstr("not a plan file"));
    const auto with_plan = [&](const PlanFile& plan, int exit_code = 2) {
        write_plan(path("a.plan"), plan);
        return refusal({"generate", model_, "--ids", ids_, "--plan", path("a.plan")}, exit_code);
    };
    const json info = json_of({"info", model_});
    const auto layers = info.at("num_layers").get<int64_t>();
    const auto heads = info.at("num_kv_heads").get<int64_t>();
    PlanFile plan;
    plan.method = "none";
    plan.head_dim = info.at("head_dim").get<int64_t>();
    plan.fingerprint = info.at("fingerprint").get<std::string>();
    plan.plan = CachePlan::dense(layers + 1, heads);
    EXPECT_THAT(with_plan(plan), HasSubstr("plan made for another model: " + path("a.plan")));
    plan.plan = CachePlan::dense(layers, heads + 1);
    EXPECT_THAT(with_plan(plan), HasSubstr("plan made for another model"));
    plan.plan = CachePlan::dense(layers, heads);
    plan.fingerprint = "of another checkpoint";
    EXPECT_THAT(with_plan(plan), HasSubstr("of another checkpoint"));
    plan.fingerprint = info.at("fingerprint").get<std::string>();
    plan.plan.layers[0][0].key.map.name = "imaginary";
    EXPECT_THAT(with_plan(plan, 1), HasSubstr("unknown map 'imaginary'"));
}

TEST_F(Errors, Prompts) {
    EXPECT_THAT(refusal({"generate", model_, "--ids", write_ids("empty", {})}, 2),
                HasSubstr("the prompt is empty"));
    EXPECT_THAT(refusal({"generate", model_, "--ids", ids_, "--max-context", "7"}, 2),
                AllOf(HasSubstr("8 tokens"), HasSubstr("context of 7")));
    EXPECT_THAT(refusal({"generate", model_, "--ids", ids_, "--stop", "x"}, 2),
                HasSubstr("tokenizer"));
    EXPECT_THAT(refusal({"generate", "small", "-f", path("none")}, 1), HasSubstr(path("none")));
    EXPECT_THAT(refusal({"generate", model_, "--ids", path("none")}, 1), HasSubstr(path("none")));
    EXPECT_THAT(refusal({"generate", model_, "--ids", model_ + "/model.safetensors"}, 1),
                HasSubstr("input_ids"));
}

TEST_F(Errors, TokenIdsOutsideTheVocabulary) {
    const std::string ids = write_ids("ids", {1, 2, 1'000'000, 3});
    const std::string what = "token id 1000000 is outside the vocabulary";
    EXPECT_THAT(refusal({"generate", model_, "--ids", ids}, 2), HasSubstr(what));
    EXPECT_THAT(refusal({"eval", "perplexity", model_, "--ids", ids, "--length", "4"}, 2),
                HasSubstr(what));
    EXPECT_THAT(refusal({"logits", model_, "--ids", ids, "-o", path("out")}, 2), HasSubstr(what));
    EXPECT_FALSE(std::filesystem::exists(path("out")));
    EXPECT_THAT(refusal({"generate", model_, "--ids", write_ids("ids", {-1})}, 1),
                HasSubstr("token id -1"));
    EXPECT_THAT(refusal({"detokenize", "small", "--ids", "1 1000000"}, 2), HasSubstr(what));
    for (const char* bad : {"1 two 3", "-1", "99999999999999999999", "1.5"}) {
        EXPECT_THAT(refusal({"detokenize", "small", "--ids", bad}, 2), HasSubstr("token id"));
    }
}

TEST_F(Errors, BudgetsNameTheBytesNeeded) {
    const auto budget = [&](const std::string& size) {
        return refusal({"generate", model_, "--ids", ids_, "--kv-budget", size}, 1);
    };
    EXPECT_THAT(budget("64KiB"), AllOf(HasSubstr("bytes) needed"), HasSubstr("64.0 KiB free")));
    EXPECT_THAT(budget("100"), HasSubstr("32768 bytes"));
    EXPECT_THAT(refusal({"eval", "perplexity", model_, "--ids", ids_, "--length", "8",
                         "--kv-budget", "64KiB"},
                        1),
                HasSubstr("bytes) needed"));
}

TEST_F(Errors, UnwritableOutput) {
    std::filesystem::create_directory(path("folder"));
    const int64_t before = num_files();
    for (const std::string& output : {path("none/out"), path("folder"), std::string("/proc/out")}) {
        EXPECT_THAT(refusal({"logits", model_, "--ids", ids_, "-o", output}, 1), HasSubstr(output));
        EXPECT_THAT(refusal({"calibrate", model_, "--ids", ids_, "-o", output}, 1),
                    HasSubstr(output));
    }
    EXPECT_EQ(num_files(), before) << "a temporary file was left";
    EXPECT_TRUE(std::filesystem::is_empty(path("folder")));
}

TEST_F(Errors, Texts) {
    EXPECT_THAT(refusal({"eval", "perplexity", "small", "--text", path("none")}, 1),
                HasSubstr(path("none")));
    EXPECT_THAT(refusal({"eval", "perplexity", "small", "--text", file("short", "A few words")}, 2),
                AllOf(HasSubstr("the text has"), HasSubstr("one window takes 2048")));
    EXPECT_THAT(refusal({"eval", "perplexity", "small", "--text", file("nothing", "")}, 2),
                HasSubstr("the text has 0 tokens"));
    EXPECT_THAT(
        refusal({"eval", "perplexity", model_, "--ids", ids_, "--length", "8", "--prefill", "7"},
                2),
        HasSubstr("no target"));
    EXPECT_THAT(refusal({"tokenize", "small", "--file", path("none")}, 1), HasSubstr(path("none")));
}

}  // namespace
}  // namespace lowkey
