// What every command prints: the names that scripts rely on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/program.h"

namespace lowkey {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class Commands : public Program {
protected:
    static void expect_fields(const json& object, const std::vector<std::string>& names) {
        for (const std::string& name : names) EXPECT_TRUE(object.contains(name)) << name;
    }
    static void expect_cache(const json& object, int64_t tokens) {
        const json& cache = object.at("cache");
        expect_fields(cache, {"bytes_allocated", "bytes_full", "ratio", "tokens", "peak_bytes"});
        EXPECT_EQ(cache.at("tokens"), tokens);
        const auto allocated = cache.at("bytes_allocated").get<int64_t>();
        EXPECT_GT(allocated, 0);
        EXPECT_GE(cache.at("peak_bytes"), allocated);
        EXPECT_DOUBLE_EQ(cache.at("ratio").get<double>(),
                         static_cast<double>(allocated) / cache.at("bytes_full").get<double>());
    }
    static std::vector<int64_t> some_ids(int64_t count) {
        std::vector<int64_t> ids(static_cast<size_t>(count));
        for (int64_t i = 0; i < count; ++i) ids[static_cast<size_t>(i)] = 3 + i * 7 % 60;
        return ids;
    }
};

TEST_F(Commands, Info) {
    const json info = json_of({"info", "small"});
    expect_fields(info, {"architecture", "num_layers", "num_heads", "num_kv_heads", "head_dim",
                         "vocab_size", "parameters", "kv_bytes_per_token"});
    EXPECT_EQ(info.at("architecture"), "LlamaForCausalLM");
    EXPECT_EQ(info.at("num_layers"), 6);
    EXPECT_EQ(info.at("kv_bytes_per_token"), 2 * 6 * 4 * 64 * 2);
    EXPECT_GT(info.at("parameters"), 5'000'000);
    const Result table = run({"info", "small"});
    EXPECT_EQ(table.exit_code, 0);
    EXPECT_THAT(table.out, HasSubstr("LlamaForCausalLM"));
}

TEST_F(Commands, TokenizeAndDetokenize) {
    const std::string text = "It's 1,024 naïve cafés — 漢字\n";
    const json with = json_of({"tokenize", "small", "--text", text});
    const json without = json_of({"tokenize", "small", "--text", text, "--no-special"});
    EXPECT_EQ(with.at("ids").size(), without.at("ids").size() + 1);
    EXPECT_EQ(with.at("ids").at(0), 0) << "bos";
    EXPECT_EQ(json_of({"tokenize", "small", "--file", file("text", text), "--no-special"}),
              without);
    const std::string ids = run({"tokenize", "small", "--no-special", "--text", text}).out;
    EXPECT_EQ(json_of({"detokenize", "small", "--ids", ids}).at("text"), text);
    EXPECT_EQ(json_of({"detokenize", "small", "--ids", without.at("ids").dump()}).at("text"), text);
    EXPECT_EQ(run({"detokenize", "small", "--ids", ids}).out, text + "\n");
    EXPECT_EQ(json_of({"detokenize", "small", "--ids", ""}).at("text"), "");
}

TEST_F(Commands, Generate) {
    const std::vector<std::string> command = {"generate", "small", "-p", "Once upon", "-n", "9"};
    const json result = json_of(command);
    expect_fields(result, {"text", "ids", "prompt_tokens", "prefill_seconds", "decode_seconds"});
    EXPECT_EQ(result.at("ids").size(), 9u);
    expect_cache(result, result.at("prompt_tokens").get<int64_t>() + 8);
    const Result streamed = run(command);
    EXPECT_EQ(streamed.out, result.at("text").get<std::string>() + "\n");
    EXPECT_THAT(streamed.err, HasSubstr("per second"));

    const std::vector<std::string> from_file = {
        "generate", "small", "-f", file("prompt.txt", "Once upon"), "-n", "9"};
    EXPECT_EQ(json_of(from_file).at("ids"), result.at("ids"));
}

TEST_F(Commands, GenerateStopsAndSamples) {
    const auto with = [&](const std::vector<std::string>& more) {
        std::vector<std::string> command = {"generate", "small", "-p", "Once upon", "-n", "12"};
        command.insert(command.end(), more.begin(), more.end());
        return json_of(command);
    };
    const auto text = with({}).at("text").get<std::string>();
    const std::string stop = text.substr(4, 3);
    const json stopped = with({"--stop", "never", "--stop", stop});
    EXPECT_EQ(stopped.at("text"), text.substr(0, text.find(stop)));
    EXPECT_EQ(stopped.at("finish_reason"), "stop");
    const std::vector<std::string> sampling = {
        "--temperature",    "1.2", "--top-k", "50", "--top-p",     "0.95", "--min-p", "0.01",
        "--repeat-penalty", "1.1", "--seed",  "5",  "--ignore-eos"};
    EXPECT_EQ(with(sampling).at("ids"), with(sampling).at("ids"));
    EXPECT_NE(with(sampling).at("text"), text);
}

TEST_F(Commands, GenerateFromIdsNeedsNoTokenizer) {
    const SafetensorsFile expected(golden("llama-mha") + "/golden.safetensors");
    const json result = json_of({"generate", golden("llama-mha"), "--ids",
                                 golden("llama-mha") + "/golden.safetensors", "-n", "16", "--dtype",
                                 "f32", "--ignore-eos"});
    const auto greedy = expected.tensor("greedy").as<int64_t>();
    EXPECT_EQ(result.at("ids"), json(std::vector<int64_t>(greedy.begin(), greedy.end())));
    EXPECT_EQ(result.at("text"), "");
    EXPECT_EQ(result.at("prompt_tokens"), 36);
}

TEST_F(Commands, Logits) {
    const std::string ids = write_ids("ids.safetensors", some_ids(20));
    const std::string out = path("logits.safetensors");
    for (const char* prefill : {"20", "5", "0"}) {
        const json result =
            json_of({"logits", golden("llama-mha"), "--ids", ids, "-o", out, "--prefill", prefill});
        EXPECT_EQ(result.at("tokens"), 20);
        expect_cache(result, 20);
        const SafetensorsFile file(out);
        EXPECT_EQ(file.tensor("logits").shape[0], 20);
        EXPECT_EQ(file.tensor("logits").dtype, DType::kF32);
    }
}

TEST_F(Commands, EvalPerplexity) {
    std::string words;
    for (int i = 0; i < 60; ++i) words += "The cat sat on mat number " + std::to_string(i) + ". ";
    const std::string text = file("text.txt", words);
    const std::vector<std::string> command = {"eval", "perplexity", "small", "--text",
                                              text,   "--length",   "64",    "--max-tokens",
                                              "200",  "--dtype",    "f32"};
    const auto with = [&](const std::vector<std::string>& more) {
        std::vector<std::string> all = command;
        all.insert(all.end(), more.begin(), more.end());
        return json_of(all);
    };
    const json result = with({});
    expect_fields(result, {"perplexity", "nll", "tokens", "windows"});
    EXPECT_EQ(result.at("windows"), 3);
    EXPECT_EQ(result.at("tokens"), 3 * 63);
    EXPECT_DOUBLE_EQ(result.at("perplexity").get<double>(),
                     std::exp(result.at("nll").get<double>()));
    expect_cache(result, 64);
    EXPECT_EQ(with({"--prefill", "32"}).at("tokens"), 3 * 31);
    EXPECT_EQ(with({"--sequences", "2"}).at("windows"), 2);
    EXPECT_EQ(with({"--bos"}).at("tokens"), 3 * 63);
    const json compared = with({"--reference"});
    EXPECT_EQ(compared.at("mean_kl"), 0);
    EXPECT_EQ(compared.at("top1_agreement"), 1);
    EXPECT_EQ(compared.at("reference_perplexity"), result.at("perplexity"));

    const auto ids = json_of({"tokenize", "small", "--file", text, "--no-special"})
                         .at("ids")
                         .get<std::vector<int64_t>>();
    const std::vector<int64_t> windows(ids.begin(), ids.begin() + 3 * 64);
    for (const int64_t rows : {0, 3}) {
        const json same = json_of({"eval", "perplexity", "small", "--dtype", "f32", "--length",
                                   "64", "--ids", write_ids("ids", windows, rows)});
        EXPECT_EQ(same.at("nll"), result.at("nll")) << rows;
    }
    EXPECT_EQ(json_of({"eval", "perplexity", "small", "--dtype", "f32", "--ids",
                       write_ids("ids", windows, 3)})
                  .at("nll"),
              result.at("nll"))
        << "rows are the windows";
    EXPECT_THAT(run(command).out, HasSubstr("perplexity"));
}

TEST_F(Commands, CalibratePlanAndRun) {
    const std::string model = golden("llama-mha");
    const std::string ids = write_ids("ids.safetensors", some_ids(96), 3);
    const std::string stats = path("model.stats");
    const std::string plan = path("eigen.plan");
    const json calibration = json_of({"calibrate", model, "--ids", ids, "-o", stats});
    expect_fields(calibration, {"sequences", "length", "tokens", "seconds"});
    EXPECT_EQ(calibration.at("sequences"), 3);
    EXPECT_EQ(calibration.at("length"), 32);
    const json planned = json_of(
        {"plan", model, "--method", "eigen", "--stats", stats, "--keep", "0.6", "-o", plan});
    expect_fields(planned, {"method", "keep", "layers"});
    EXPECT_EQ(planned.at("method"), "eigen");
    for (const json& layer : planned.at("layers")) {
        expect_fields(layer, {"key_ranks", "value_ranks", "error"});
    }
    EXPECT_EQ(json_of({"inspect", plan}).at("method"), "eigen");
    for (const std::string dtype : {"bf16", "f32"}) {
        const json result = json_of({"eval", "perplexity", model, "--ids", ids, "--prefill", "8",
                                     "--plan", plan, "--reference", "--dtype", dtype});
        EXPECT_GT(result.at("mean_kl"), 0);
        EXPECT_EQ(result.at("tokens"), 3 * (31 - 8));
        expect_cache(result, 32);
    }
    const json generated = json_of({"generate", model, "--ids", write_ids("p", some_ids(20)),
                                    "--plan", plan, "-n", "5", "--ignore-eos"});
    EXPECT_EQ(generated.at("ids").size(), 5u);
}

TEST_F(Commands, EachHasHelpWithAnExample) {
    for (const std::vector<std::string>& command :
         std::vector<std::vector<std::string>>{{"info"},
                                               {"tokenize"},
                                               {"detokenize"},
                                               {"generate"},
                                               {"logits"},
                                               {"calibrate"},
                                               {"plan"},
                                               {"inspect"},
                                               {"eval", "perplexity"}}) {
        std::vector<std::string> help = command;
        help.emplace_back("--help");
        const Result result = run(help);
        EXPECT_EQ(result.exit_code, 0) << command.front();
        EXPECT_THAT(result.out, HasSubstr("Example: lowkey " + command.front()));
    }
    EXPECT_EQ(run({"--version"}).exit_code, 0);
}

TEST_F(Commands, QuietAndVerbose) {
    EXPECT_EQ(run({"generate", "small", "-p", "a", "-n", "2", "--quiet"}).err, "");
    EXPECT_THAT(run({"generate", "small", "-p", "a", "-n", "2", "--verbose"}).err,
                HasSubstr("6 layers"));
}

}  // namespace
}  // namespace lowkey
