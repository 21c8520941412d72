#include <fmt/format.h>

#include "base/atomic_file.h"
#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "cli/haystack.h"
#include "cli/item_run.h"
#include "cli/plan_results.h"
#include "eval/needle.h"
#include "eval/protocols.h"
#include "report/heat_map.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::vector<std::string> plans;
    std::string haystack;
    std::string plot;
    std::string resume;
    NeedleOptions needle;
};

HeatMap draw_grid(const Options& options, const NeedleResult& result, const std::string& title) {
    const NeedleOptions& needle = options.needle;
    HeatMap map{.title = fmt::format("{}, mean {:.3f}", title, result.mean),
                .row_label = "depth",
                .column_label = "tokens",
                .low = 0,
                .high = 1};
    map.columns.reserve(needle.lengths.size());
    for (const int64_t length : needle.lengths) map.columns.push_back(std::to_string(length));
    for (size_t d = 0; d < needle.depths.size(); ++d) {
        map.rows.push_back(fmt::format("{:g}", needle.depths[d]));
        std::vector<double>& row = map.values.emplace_back();
        for (size_t l = 0; l < needle.lengths.size(); ++l)
            row.push_back(result.grid[l * needle.depths.size() + d].score);
    }
    return map;
}

void print_table(const Options& options, const NeedleResult& result) {
    const HeatMap grid = draw_grid(options, result, "");
    fmt::print("depth ");
    for (const std::string& length : grid.columns) fmt::print("{:>8}", length);
    fmt::print("\n");
    for (size_t d = 0; d < grid.rows.size(); ++d) {
        fmt::print("{:<6}", grid.rows[d]);
        for (const double score : grid.values[d]) fmt::print("{:>8.2f}", score);
        fmt::print("\n");
    }
    fmt::print("mean         {:.3f}\n", result.mean);
    print_cache(result.cache, "after the longest prompt");
}

nlohmann::json result_json(const NeedleResult& result, bool decode_question) {
    nlohmann::json grid = nlohmann::json::array();
    for (const NeedleCell& cell : result.grid)
        grid.push_back({{"length", cell.length}, {"depth", cell.depth}, {"score", cell.score}});
    return {{"grid", std::move(grid)},
            {"mean", result.mean},
            {"scored", decode_question ? kQuestionsScored : kAnswersScored},
            {"cache", to_json(result.cache)}};
}

void plot(const Options& options, const std::vector<NeedleResult>& results) {
    std::vector<HeatMap> maps;
    for (size_t i = 0; i < results.size(); ++i) {
        const std::string title = results.size() == 1 ? "numbers found" : options.plans[i];
        maps.push_back(draw_grid(options, results[i], title));
    }
    AtomicFile file(options.plot);
    file.write(draw_heat_maps(maps));
    file.commit();
}

void run(const Options& options) {
    std::vector<std::string> reads = options.plans;
    reads.push_back(options.haystack);
    check_files(options, {.reads = reads, .writes = {options.plot, options.resume}});
    const auto texts = read_haystack(options.haystack);
    const auto tokenizer = load_tokenizer(options);
    std::vector<Engine> engines = make_engines(load_model(options), options, options.plans);
    const NeedleOptions& how = options.needle;
    nlohmann::json settings =
        evaluation_settings("needle", options, options.plans, engines.front());
    settings["haystack"] = fingerprint(texts);
    settings["lengths"] = how.lengths;
    settings["depths"] = how.depths;
    settings["needles"] = how.needles;
    settings["trials"] = how.trials;
    settings["seed"] = how.seed;
    settings["kind"] = how.kind == NeedleKind::kNumber ? "number" : "sentence";
    settings["decode_question"] = how.decode_question;
    const std::vector<NeedleResult> results = [&] {
        const ItemRun items("needle", "found", options.resume, settings);
        return evaluate_needles(pointers_to(engines), *tokenizer, texts, how, items.options());
    }();
    if (!options.plot.empty()) plot(options, results);
    print_by_plan(
        results, options.plans, options.json,
        [&](const NeedleResult& r) { return result_json(r, how.decode_question); },
        [&](const NeedleResult& result) { print_table(options, result); });
}

}  // namespace

void add_eval_needle(CLI::App& eval) {
    auto options = std::make_shared<Options>();
    NeedleOptions& needle = options->needle;
    CLI::App* app = eval.add_subcommand(
        "needle", "Hides numbers in long texts and asks for one: a grid of exact matches.");
    app->footer(
        "Example: lowkey eval needle MODEL --haystack essays/ --lengths 1024,4096 --plan a.plan "
        "--plan b.plan");
    add_model(*app, *options);
    add_run_flags(*app, *options);
    add_cache_flags(*app, *options, options->plans);
    app->add_option("--haystack", options->haystack, "folder of text files, or one file")
        ->required()
        ->type_name("DIR");
    app->add_option("--lengths", needle.lengths, "tokens of the prompts")
        ->delimiter(',')
        ->allow_extra_args(false)  // a MODEL may follow
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app->add_option("--depths", needle.depths, "where the needle lies: 0 begins, 1 ends the text")
        ->delimiter(',')
        ->allow_extra_args(false)  // a MODEL may follow
        ->capture_default_str();
    app->add_option("--needles", needle.needles, "numbers hidden; one of them is asked for")
        ->capture_default_str();
    app->add_option("--trials,--limit", needle.trials, "prompts per cell")
        ->check(CLI::Range(int64_t{1}, int64_t{1000000}))
        ->capture_default_str();
    app->add_option("--seed", needle.seed, "of texts, keys and numbers")->capture_default_str();
    app->add_option("--kind", needle.kind,
                    "number: under a key, as in RULER; sentence: the usual one about a city")
        ->transform(CLI::CheckedTransformer(std::map<std::string, NeedleKind>{
            {"number", NeedleKind::kNumber}, {"sentence", NeedleKind::kSentence}}));
    app->add_flag("--decode-question", needle.decode_question,
                  "ask after the text was compressed, token by token through the cache");
    app->add_option("--plot", options->plot, "draw the grid")->type_name("FILE.svg");
    add_resume_flag(*app, options->resume);
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
