#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "cli/item_run.h"
#include "cli/plan_results.h"
#include "eval/protocols.h"
#include "eval/zeroshot.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::vector<std::string> plans;
    std::string task;
    std::string data;
    std::string resume;
    int64_t limit = 0;
    bool bos = false;
};

nlohmann::json or_null(const std::optional<double>& value) {
    return value ? nlohmann::json(*value) : nlohmann::json();
}

void print_table(const ZeroshotTask& task, const ZeroshotResult& result) {
    const auto print = [](const char* name, double value, const std::optional<double>& error) {
        fmt::print("{:<12} {:.4f}{}\n", name, value, error ? fmt::format(" ± {:.4f}", *error) : "");
    };
    fmt::print("{} questions of {}\n", result.n, task.name);
    print("accuracy", result.accuracy, result.stderr_accuracy);
    if (result.accuracy_norm)
        print("  normalised", *result.accuracy_norm, result.stderr_accuracy_norm);
    if (result.perplexity) print("perplexity", *result.perplexity, std::nullopt);
    print_cache(result.cache, "after the longest context");
}

nlohmann::json result_json(const ZeroshotTask& task, const ZeroshotResult& result) {
    nlohmann::json json = {{"task", task.name},
                           {"accuracy", result.accuracy},
                           {"accuracy_norm", or_null(result.accuracy_norm)},
                           {"stderr", or_null(result.stderr_accuracy)},
                           {"stderr_norm", or_null(result.stderr_accuracy_norm)},
                           {"n", result.n},
                           {"scored", kContinuationsScored},
                           {"cache", to_json(result.cache)}};
    if (result.perplexity) json["perplexity"] = *result.perplexity;
    return json;
}

void run(const Options& options) {
    check_files(options, {.reads = {options.data}, .writes = {options.resume}});
    const ZeroshotTask& task = zeroshot_task(options.task);
    const auto items = read_zeroshot_items(task, options.data, options.limit);
    const auto tokenizer = load_tokenizer(options);
    const auto model = load_model(options);
    size_t most_choices = 0;
    for (const ZeroshotItem& item : items)
        most_choices = std::max(most_choices, item.choices.size());
    // All choices of a question run side by side, beside the context that they share.
    std::vector<Engine> engines;
    CommonOptions own = options;
    for (size_t i = 0; i < std::max<size_t>(options.plans.size(), 1); ++i) {
        if (!options.plans.empty()) own.plan = options.plans[i];
        engines.push_back(make_engine(model, own, static_cast<int64_t>(most_choices) + 1));
    }
    ZeroshotOptions how;
    how.start = tokenizer->bos_id() ? *tokenizer->bos_id() : document_start(*tokenizer, *model);
    if (options.bos) how.bos = how.start;
    nlohmann::json settings =
        evaluation_settings("zeroshot", options, options.plans, engines.front());
    settings["task"] = task.name;
    settings["data"] = fingerprint(items);
    settings["limit"] = options.limit;
    settings["bos"] = options.bos;
    settings["start"] = how.start;
    const std::vector<ZeroshotResult> results = [&] {
        const ItemRun run(task.name, "accuracy", options.resume, settings);
        return evaluate_zeroshot(pointers_to(engines), *tokenizer, task, items, how, run.options());
    }();
    print_by_plan(
        results, options.plans, options.json,
        [&](const ZeroshotResult& result) { return result_json(task, result); },
        [&](const ZeroshotResult& result) { print_table(task, result); });
}

}  // namespace

void add_eval_zeroshot(CLI::App& eval) {
    auto options = std::make_shared<Options>();
    std::string names;
    for (const ZeroshotTask& task : zeroshot_tasks())
        names += fmt::format("{}{} ({})", names.empty() ? "" : "; ", task.name, task.about);
    CLI::App* app = eval.add_subcommand(
        "zeroshot", "Which answer a model finds likelier, as lm-evaluation-harness scores it.");
    app->footer(
        "Tasks: " + names +
        ".\nExample: lowkey eval zeroshot MODEL --task piqa --data piqa/valid.jsonl --limit 200");
    add_model(*app, *options);
    add_run_flags(*app, *options);
    add_cache_flags(*app, *options, options->plans);
    app->add_option("--task", options->task, "piqa, lambada, arc, hellaswag or winogrande")
        ->required();
    app->add_option("--data", options->data, "its .jsonl file, or a folder with one")
        ->required()
        ->type_name("PATH");
    app->add_option("--limit", options->limit, "only the first N questions")
        ->check(CLI::PositiveNumber);
    app->add_flag("--bos", options->bos,
                  "put the model's bos token before every question (the harness: add_bos_token)");
    add_resume_flag(*app, options->resume);
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
