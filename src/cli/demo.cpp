#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <filesystem>

#include "base/error.h"
#include "base/size.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "compress/planner.h"
#include "engine/generation.h"
#include "eval/perplexity.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    double keep = 0.6;
    std::string output = "lowkey-demo";
};

constexpr int64_t kCalibrationSequences = 32;
constexpr int64_t kCalibrationLength = 512;
constexpr int64_t kScoredSequences = 4;
constexpr int64_t kScoredLength = 2048;
constexpr int64_t kGenerated = 48;
constexpr uint64_t kCalibrationSeed = 1;
constexpr uint64_t kScoringSeed = 2;
constexpr const char* kPrompt = "The old man opened the letter and read it";

/// What one cache does, for a row of the table.
struct Row {
    std::string name;
    CacheUsage cache;
    Perplexity sampled;
    Perplexity written;
    Generation generation;
    [[nodiscard]] double tokens_per_second() const {
        const double seconds = generation.decode_seconds;
        return seconds > 0 ? static_cast<double>(generation.ids.size() - 1) / seconds : 0;
    }
};

Row measure(const std::string& name, Engine& engine, Engine& reference, const Tokenizer& tokenizer,
            const std::vector<std::vector<int32_t>>& sampled, const std::vector<int32_t>& written) {
    Row row;
    row.name = name;
    const std::vector<std::span<const int32_t>> windows(sampled.begin(), sampled.end());
    row.sampled = evaluate_perplexity(engine, windows, {}, &reference);
    row.cache = row.sampled.cache;
    const std::span<const int32_t> text(written);
    row.written = evaluate_perplexity(engine, {&text, 1}, {}, &reference);
    const auto sequence = engine.new_sequence();
    GenerationOptions options;
    options.max_new_tokens = kGenerated;
    options.sampling.temperature = 0;
    row.generation =
        generate(engine, *sequence, &tokenizer, tokenizer.encode(kPrompt, true), options);
    return row;
}

nlohmann::json to_json(const Row& row) {
    return {{"name", row.name},
            {"cache", cli::to_json(row.cache)},
            {"perplexity_sampled", row.sampled.perplexity()},
            {"mean_kl_sampled", row.sampled.reference->mean_kl},
            {"perplexity_written", row.written.perplexity()},
            {"mean_kl_written", row.written.reference->mean_kl},
            {"tokens_per_second", row.tokens_per_second()},
            {"text", row.generation.text}};
}

void print_table(const std::vector<Row>& rows, int64_t tokens) {
    fmt::print("\nprompt: {}\n", kPrompt);
    for (const Row& row : rows) fmt::print("\n[{}]{}\n", row.name, row.generation.text);
    fmt::print("\n{:<18}{:>12}{:>8}{:>13}{:>10}{:>13}{:>10}{:>9}\n", "", "cache at", "of",
               "perplexity,", "KL,", "perplexity,", "KL,", "tokens");
    fmt::print("{:<18}{:>12}{:>8}{:>13}{:>10}{:>13}{:>10}{:>9}\n", "cache",
               fmt::format("{} tokens", tokens), "full", "own text", "nats", "sample.txt", "nats",
               "per s");
    for (const Row& row : rows) {
        fmt::print("{:<18}{:>12}{:>7.0f}%{:>13.2f}{:>10.4f}{:>13.2f}{:>10.4f}{:>9.0f}\n", row.name,
                   format_bytes(row.cache.bytes_allocated), 100 * row.cache.ratio(),
                   row.sampled.perplexity(), row.sampled.reference->mean_kl,
                   row.written.perplexity(), row.written.reference->mean_kl,
                   row.tokens_per_second());
    }
}

void run(const Options& options) {
    std::filesystem::create_directories(options.output);
    const auto model = load_model(options);
    const auto tokenizer = load_tokenizer(options);
    const ModelConfig& config = model->config();
    fmt::print(stderr, "model: {} layers, {} KV heads of {}, {} of cache per token\n",
               config.num_layers, config.num_kv_heads, config.head_dim,
               format_bytes(config.kv_bytes_per_token()));

    const int32_t start = document_start(*tokenizer, *model);
    fmt::print(stderr, "1. calibrating on {} texts that the model writes itself\n",
               kCalibrationSequences);
    CalibrationStats stats =
        calibrate(*model, sample_sequences(*model, kCalibrationSequences, kCalibrationLength,
                                           kCalibrationSeed, start));
    stats.settings = {
        {"source", "self"}, {"sequences", kCalibrationSequences}, {"length", kCalibrationLength}};
    write_stats(options.output + "/model.stats", stats);

    fmt::print(stderr, "2. choosing ranks for {:.0f} % of the cache\n", 100 * options.keep);
    const PlanFile plan =
        find_planner("eigen").make({model, &stats, {{"keep", options.keep}}, std::nullopt});
    const std::string plan_path = options.output + "/eigen.plan";
    write_plan(plan_path, plan);

    fmt::print(stderr, "3. generating and scoring with both caches\n");
    const auto sampled =
        sample_sequences(*model, kScoredSequences, kScoredLength, kScoringSeed, start);
    std::vector<int32_t> written =
        tokenizer->encode(read_text(model_directory("small") + "/sample.txt"), true);
    Engine full = make_reference_engine(model, options);
    Engine reference = make_reference_engine(model, options);
    Engine compressed(model, plan.plan);
    const std::vector<Row> rows = {measure("full", full, reference, *tokenizer, sampled, written),
                                   measure(fmt::format("eigen, keep {:g}", options.keep),
                                           compressed, reference, *tokenizer, sampled, written)};
    if (options.json) {
        nlohmann::json caches = nlohmann::json::array();
        for (const Row& row : rows) caches.push_back(to_json(row));
        print_json({{"caches", std::move(caches)}, {"plan", plan_path}});
        return;
    }
    print_table(rows, kScoredLength);
    fmt::print(
        "\nThe plan is {}: `lowkey inspect {}` shows it, `lowkey generate {} -p TEXT --plan {}` "
        "runs it.\n",
        plan_path, plan_path, options.model, plan_path);
}

}  // namespace

void add_demo(CLI::App& program) {
    auto options = std::make_shared<Options>();
    options->model = "small";
    CLI::App* app = program.add_subcommand(
        "demo", "Calibrate, plan, generate and compare, on the built-in model, in about a minute.");
    app->footer("Example: lowkey demo --keep 0.5");
    app->add_option("model", options->model,
                    "Hugging Face directory, or `small` for the built-in model")
        ->type_name("MODEL")
        ->capture_default_str();
    app->add_flag("--json", options->json, "print one JSON object on stdout");
    add_run_flags(*app, *options);
    app->add_option("--keep", options->keep, "share of the cache to keep")->capture_default_str();
    app->add_option("-o,--output", options->output, "folder for the statistics and the plan")
        ->capture_default_str();
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
