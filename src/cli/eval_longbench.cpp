#include <fmt/format.h>

#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "cli/item_run.h"
#include "cli/plan_results.h"
#include "engine/generation_config.h"
#include "eval/longbench.h"
#include "eval/protocols.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::vector<std::string> plans;
    std::string data;
    std::string resume;
    int64_t limit = 0;
    LongBenchOptions longbench;
};

void run(const Options& options) {
    check_files(options, {.reads = {options.data}, .writes = {options.resume}});
    const LongBenchData data = read_longbench(options.data, options.limit);
    const auto tokenizer = load_tokenizer(options);
    const auto model = load_model(options);
    std::vector<Engine> engines = make_engines(model, options, options.plans);
    LongBenchOptions how = options.longbench;
    how.eos_ids = read_generation_config(*model->weights().checkpoint, tokenizer.get()).eos_ids;
    nlohmann::json settings =
        evaluation_settings("longbench", options, options.plans, engines.front());
    settings["dataset"] = data.set->name;
    settings["data"] = fingerprint(data);
    settings["limit"] = options.limit;
    settings["max_length"] = how.max_length;
    settings["eos"] = how.eos_ids;
    const std::vector<LongBenchResult> results = [&] {
        const ItemRun items(data.set->name, data.set->metric, options.resume, settings);
        return evaluate_longbench(pointers_to(engines), *tokenizer, data, how, items.options());
    }();
    const auto result_json = [&](const LongBenchResult& result) -> nlohmann::json {
        return {{"dataset", data.set->name}, {"metric", data.set->metric},
                {"score", result.score},     {"n", result.n},
                {"scored", kAnswersScored},  {"cache", to_json(result.cache)}};
    };
    const auto print_table = [&](const LongBenchResult& result) {
        fmt::print("{} questions of {}\n{:<12} {:.4f}\n", result.n, data.set->name,
                   data.set->metric, result.score);
        print_cache(result.cache, "after the longest prompt");
    };
    print_by_plan(results, options.plans, options.json, result_json, print_table);
}

}  // namespace

void add_eval_longbench(CLI::App& eval) {
    auto options = std::make_shared<Options>();
    CLI::App* app =
        eval.add_subcommand("longbench", "Questions about long documents, from LongBench's files.");
    app->footer(
        "Example: lowkey eval longbench MODEL --data multi_news.jsonl --max-length 4096 --limit "
        "50");
    add_model(*app, *options);
    add_run_flags(*app, *options);
    add_cache_flags(*app, *options, options->plans);
    app->add_option("--data", options->data, "a .jsonl file of LongBench, which names its set")
        ->required()
        ->type_name("FILE");
    app->add_option("--max-length", options->longbench.max_length,
                    "tokens of a prompt; longer ones lose their middle (default: what fits)")
        ->check(CLI::PositiveNumber);
    app->add_option("--limit", options->limit, "only the first N questions")
        ->check(CLI::PositiveNumber);
    add_resume_flag(*app, options->resume);
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
