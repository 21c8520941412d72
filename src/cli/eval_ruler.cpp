#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "cli/haystack.h"
#include "cli/item_run.h"
#include "cli/plan_results.h"
#include "engine/generation_config.h"
#include "eval/protocols.h"
#include "eval/ruler.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::vector<std::string> plans;
    std::string haystack;
    std::string resume;
    RulerOptions ruler;
};

/// The noise of prompts; nothing where lowkey's own is to be taken.
std::vector<std::string> read_sentences(const Options& options) {
    if (options.haystack.empty()) return {};
    std::vector<std::string> sentences = split_sentences(read_haystack(options.haystack));
    if (sentences.empty()) throw FileError("no sentences", options.haystack, "give more text");
    return sentences;
}

void print_table(const RulerOptions& options, const RulerResult& result) {
    fmt::print("{:<16}", "task");
    for (const int64_t length : options.lengths) fmt::print("{:>8}", length);
    for (size_t i = 0; i < result.cells.size(); ++i) {
        if (i % options.lengths.size() == 0) fmt::print("\n{:<16}", result.cells[i].task);
        fmt::print("{:>8.3f}", result.cells[i].score);
    }
    fmt::print("\nmean         {:.3f}\n", result.mean);
    print_cache(result.cache, "after the longest prompt");
}

nlohmann::json result_json(const RulerResult& result) {
    nlohmann::json cells = nlohmann::json::array();
    for (const RulerCell& cell : result.cells)
        cells.push_back({{"task", cell.task}, {"length", cell.length}, {"score", cell.score}});
    return {{"tasks", std::move(cells)},
            {"mean", result.mean},
            {"scored", kAnswersScored},
            {"cache", to_json(result.cache)}};
}

void run(const Options& options) {
    check_files(options, {.reads = {options.haystack}, .writes = {options.resume}});
    const auto sentences = read_sentences(options);
    const auto tokenizer = load_tokenizer(options);
    const auto model = load_model(options);
    std::vector<Engine> engines = make_engines(model, options, options.plans);
    RulerOptions how = options.ruler;
    if (how.tasks.empty() || how.tasks == std::vector<std::string>{"all"})
        how.tasks = ruler_tasks();
    how.eos_ids = read_generation_config(*model->weights().checkpoint, tokenizer.get()).eos_ids;
    nlohmann::json settings = evaluation_settings("ruler", options, options.plans, engines.front());
    settings["tasks"] = how.tasks;
    settings["lengths"] = how.lengths;
    settings["samples"] = how.samples;
    settings["seed"] = how.seed;
    settings["eos"] = how.eos_ids;
    settings["haystack"] = fingerprint(sentences);
    const std::vector<RulerResult> results = [&] {
        const ItemRun items("ruler", "score", options.resume, settings);
        return evaluate_ruler(pointers_to(engines), *tokenizer, sentences, how, items.options());
    }();
    print_by_plan(results, options.plans, options.json, result_json,
                  [&](const RulerResult& result) { print_table(how, result); });
}

}  // namespace

void add_eval_ruler(CLI::App& eval) {
    auto options = std::make_shared<Options>();
    RulerOptions& ruler = options->ruler;
    CLI::App* app = eval.add_subcommand(
        "ruler", "Finding, following and counting in long texts: synthetic tasks after RULER.");
    app->footer(fmt::format(
        "Tasks: {}.\nExample: lowkey eval ruler MODEL --tasks niah_single,vt --lengths 1024,4096",
        fmt::join(ruler_tasks(), ", ")));
    add_model(*app, *options);
    add_run_flags(*app, *options);
    add_cache_flags(*app, *options, options->plans);
    app->add_option("--tasks", ruler.tasks, "which, separated by commas (default: all)")
        ->delimiter(',')
        ->allow_extra_args(false);  // a MODEL may follow
    app->add_option("--lengths", ruler.lengths, "tokens of a prompt with its answer")
        ->delimiter(',')
        ->allow_extra_args(false)  // a MODEL may follow
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app->add_option("--samples,--limit", ruler.samples, "prompts per task and length")
        ->check(CLI::Range(int64_t{1}, int64_t{1000000}))
        ->capture_default_str();
    app->add_option("--seed", ruler.seed, "of places, keys, numbers and words")
        ->capture_default_str();
    app->add_option("--haystack", options->haystack,
                    "noise: folder of text files, or one file (default: sentences of our own)")
        ->type_name("DIR");
    add_resume_flag(*app, options->resume);
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
