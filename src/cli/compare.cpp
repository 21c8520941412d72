#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/escape.h"
#include "base/hash.h"
#include "base/mapped_file.h"
#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "cli/comparison_output.h"
#include "cli/haystack.h"
#include "cli/item_run.h"
#include "cli/text_windows.h"
#include "eval/comparison.h"
#include "eval/paired_speed.h"
#include "eval/perplexity.h"
#include "report/plan_summary.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::vector<std::string> plans;
    std::string text;
    int64_t length = 2048;
    std::optional<int64_t> max_tokens;
    int64_t sequences = 0;
    std::optional<int64_t> prefill;
    std::string haystack;
    NeedleOptions needle{.lengths = {1024, 2048}, .trials = 1};
    std::string task;
    std::string data;
    int64_t limit = 100;
    bool no_speed = false;
    SpeedOptions speed{.depths = {0, 4096}, .generate = 16, .repeat = int{kRunsForVerdict}};
    std::vector<std::string> prompts;
    int64_t max_new_tokens = 64;
    std::string output;
    std::string resume;
};

constexpr std::ptrdiff_t kDefaultTokens = 8192;

std::string hash_of(std::string_view text) {
    Hasher hasher;
    hasher.add(text);
    return hasher.hex();
}

std::string hash_of_file(const std::string& path) {
    Hasher hasher;
    hasher.add(MappedFile(path).bytes());
    return hasher.hex();
}

/// Names of the rows: those of the files, told apart by numbers where they are the same.
std::vector<std::string> row_names(const std::vector<std::string>& plans) {
    std::vector<std::string> names = {"full"};
    for (const std::string& plan : plans) {
        const std::string stem = printable(std::filesystem::path(plan).stem().string());
        std::string name = stem;
        for (int n = 2; std::find(names.begin(), names.end(), name) != names.end(); ++n)
            name = fmt::format("{} ({})", stem, n);
        names.push_back(name);
    }
    names.erase(names.begin());
    return names;
}

/// All that the items are made of.
struct Inputs {
    std::vector<int32_t> tokens;  ///< of the text
    ComparisonTasks tasks;
    std::vector<Contestant> plans;
    std::vector<std::string> hashes;  ///< of the plan files
    std::string text_hash;
};

void read_text_tasks(const Options& options, const Tokenizer& tokenizer, Inputs& inputs) {
    const std::string text = read_text(options.text);
    inputs.text_hash = hash_of(text);
    inputs.tokens = tokenizer.encode(text, false);
    TextWindows asked{
        .length = options.length, .max_tokens = options.max_tokens, .sequences = options.sequences};
    // A default is no wish that a short text could leave unfulfilled.
    if (options.sequences == 0 && !asked.max_tokens)
        asked.max_tokens = std::min(kDefaultTokens, std::ssize(inputs.tokens));
    ComparisonTasks& tasks = inputs.tasks;
    tasks.windows = cut_text(inputs.tokens, asked);
    tasks.prefill = options.prefill.value_or(options.length * 3 / 4);
    for (const std::string& prompt : options.prompts)
        tasks.prompts.emplace_back("--prompt", tokenizer.encode(prompt, true));
    if (options.prompts.empty() && tasks.prefill > 0 && tasks.prefill < options.length) {
        const auto begin = tasks.windows.front().first(static_cast<size_t>(tasks.prefill));
        tasks.prompts.emplace_back("The beginning of the text",
                                   std::vector<int32_t>(begin.begin(), begin.end()));
    }
    tasks.max_new_tokens = options.max_new_tokens;
}

void read_questions(const Options& options, const Tokenizer& tokenizer, const Model& model,
                    ComparisonTasks& tasks) {
    if (options.task.empty() != options.data.empty()) {
        throw UsageError("a task needs its data", options.task.empty() ? "--data" : "--task",
                         "give both --task and --data, or neither");
    }
    if (options.task.empty()) return;
    tasks.task = &zeroshot_task(options.task);
    tasks.questions = read_zeroshot_items(*tasks.task, options.data, options.limit);
    tasks.zeroshot.start =
        tokenizer.bos_id() ? *tokenizer.bos_id() : document_start(tokenizer, model);
}

/// Lengths at which bytes are counted: those of everything that runs, and the halves of the
/// longest.
std::vector<int64_t> byte_lengths(const ComparisonTasks& tasks) {
    std::vector<int64_t> lengths = {std::ssize(tasks.windows.front())};
    if (!tasks.haystack.empty())
        lengths.insert(lengths.end(), tasks.needle.lengths.begin(), tasks.needle.lengths.end());
    for (const int64_t depth : tasks.speed.depths) {
        if (depth > 0) lengths.push_back(depth);
    }
    const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
    constexpr int64_t kShortest = 512;
    for (int64_t half = longest / 2; half >= kShortest; half /= 2) lengths.push_back(half);
    std::sort(lengths.begin(), lengths.end());
    lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
    return lengths;
}

Inputs read_inputs(const Options& options, const Tokenizer& tokenizer, const Model& model) {
    Inputs inputs;
    read_text_tasks(options, tokenizer, inputs);
    ComparisonTasks& tasks = inputs.tasks;
    tasks.needle = options.needle;
    if (!options.haystack.empty()) tasks.haystack = read_haystack(options.haystack);
    read_questions(options, tokenizer, model, tasks);
    tasks.speed = options.speed;
    tasks.speed.prompts.clear();
    if (options.no_speed) tasks.speed.depths.clear();
    tasks.speed.chunk_tokens = options.prefill_chunk;
    tasks.lengths = byte_lengths(tasks);
    const std::vector<std::string> names = row_names(options.plans);
    for (size_t i = 0; i < options.plans.size(); ++i) {
        const std::string& path = options.plans[i];
        inputs.plans.push_back({names[i], read_plan(path)});
        check_plan_fits(inputs.plans.back().plan, path, model);
        inputs.hashes.push_back(hash_of_file(path));
    }
    return inputs;
}

/// All that results depend on, for the journal.
nlohmann::json settings_of(const Options& options, const Inputs& inputs, const Engine& engine) {
    const ComparisonTasks& tasks = inputs.tasks;
    nlohmann::json settings = evaluation_settings("compare", options, {}, engine);
    settings["plan"] = inputs.hashes;
    settings["plan_files"] = options.plans;
    settings["text"] = inputs.text_hash;
    settings["length"] = options.length;
    settings["windows"] = tasks.windows.size();
    settings["sequences"] = options.sequences;
    settings["prefill"] = tasks.prefill;
    settings["prompts"] = options.prompts;
    settings["max_new_tokens"] = options.max_new_tokens;
    settings["speed_depths"] = tasks.speed.depths;
    settings["generate"] = tasks.speed.generate;
    settings["repeat"] = tasks.speed.repeat;
    if (!tasks.haystack.empty()) {
        settings["haystack"] = fingerprint(tasks.haystack);
        settings["lengths"] = tasks.needle.lengths;
        settings["needle_depths"] = tasks.needle.depths;
        settings["trials"] = tasks.needle.trials;
        settings["seed"] = tasks.needle.seed;
        settings["decode_question"] = tasks.needle.decode_question;
    }
    if (tasks.task != nullptr) {
        settings["task"] = tasks.task->name;
        settings["data"] = fingerprint(tasks.questions);
    }
    return settings;
}

void describe(const Options& options, const Inputs& inputs, const std::string& command,
              ComparisonReport& report) {
    report.model = base_name(options.model);
    describe_setup(options, report);
    report.command = command;
    report.text_name = options.text == "-" ? "standard input" : base_name(options.text);
    report.text_hash = inputs.text_hash;
    for (size_t i = 0; i < inputs.plans.size(); ++i) {
        ComparedCache& cache = report.caches[i + 1];
        cache.file = base_name(options.plans[i]);
        cache.hash = inputs.hashes[i];
        cache.command = plan_command(report.model, cache.file, inputs.plans[i].plan);
    }
}

void run(const Options& options, const CLI::App& app) {
    const ReportFiles files(options.output);
    std::vector<std::string> reads = options.plans;
    reads.insert(reads.end(), {options.text, options.haystack, options.data});
    check_files(options, {.reads = reads,
                          .writes = {files.html, files.markdown, files.json, options.resume}});
    const auto tokenizer = load_tokenizer(options);
    const auto model = load_model(options);
    const Inputs inputs = read_inputs(options, *tokenizer, *model);
    const nlohmann::json settings =
        settings_of(options, inputs, make_reference_engine(model, options));
    ComparisonReport report = [&] {
        const ItemRun items("compare", "", options.resume, settings);
        return compare(model, *tokenizer, inputs.plans, inputs.tasks,
                       {.prefill_chunk = options.prefill_chunk}, items.options());
    }();
    const std::string command =
        command_of(app, options.model, {"plan", "text", "haystack", "data", "output"},
                   {"resume", "json", "quiet", "verbose"});
    describe(options, inputs, command, report);
    files.write(report);
    if (options.json) return print_json(to_json(report));
    print_comparison(report);
    fmt::print("\nThe report is {}; {} is for pasting, {} has all numbers.\n", files.html,
               files.markdown, files.json);
}

void add_text_flags(CLI::App& app, Options& options) {
    app.add_option("--text", options.text, "text to score; - is standard input")
        ->required()
        ->type_name("FILE");
    app.add_option("--length", options.length, "tokens of a window of the text")
        ->check(CLI::Range(int64_t{2}, kMaxModelSize))
        ->capture_default_str();
    CLI::Option* most =
        app.add_option("--max-tokens", options.max_tokens,
                       fmt::format("only the text's first N tokens (default: {})", kDefaultTokens))
            ->check(CLI::PositiveNumber);
    app.add_option("--sequences", options.sequences,
                   "instead: N windows at even distances, as far as they fit side by side")
        ->check(CLI::PositiveNumber)
        ->excludes(most);
    app.add_option("--prefill", options.prefill,
                   "tokens of a window that are a prompt; the rest is decoded and scored (default: "
                   "three quarters)")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--prompt", options.prompts,
                   "continue this, too, and show it; may be given again (default: the text's first "
                   "window)")
        ->type_name("TEXT")
        ->allow_extra_args(false);
    app.add_option("-n,--max-new-tokens", options.max_new_tokens, "tokens of such a continuation")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
}

void add_needle_flags(CLI::App& app, Options& options) {
    NeedleOptions& needle = options.needle;
    app.add_option("--haystack", options.haystack,
                   "hide numbers in these texts and ask for them: a folder, or one file")
        ->type_name("DIR");
    app.add_option("--lengths", needle.lengths, "tokens of such prompts")
        ->delimiter(',')
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--needle-depths", needle.depths, "where the number lies: 0 begins the text")
        ->delimiter(',')
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    app.add_option("--trials", needle.trials, "prompts of each length and depth")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--seed", needle.seed, "of such prompts")->capture_default_str();
    app.add_flag("--decode-question", needle.decode_question,
                 "ask after the text was compressed, token by token through the cache");
}

void add_other_flags(CLI::App& app, Options& options) {
    app.add_option("--task", options.task,
                   "score questions: piqa, lambada, arc, hellaswag or winogrande");
    app.add_option("--data", options.data, "its .jsonl file, or a folder with one")
        ->type_name("PATH");
    app.add_option("--limit", options.limit, "only the first N questions")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--depths", options.speed.depths, "cached tokens at which decoding is timed")
        ->delimiter(',')
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_flag("--no-speed", options.no_speed, "time nothing");
    app.add_option("--generate", options.speed.generate, "steps of each timing")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--repeat", options.speed.repeat,
                   "timings of each cache, in turn; the median counts, and 5 allow a verdict")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--chunk,--prefill-chunk", options.prefill_chunk,
                   "prompt tokens that are computed at a time")
        ->check(CLI::Range(int64_t{1}, kMaxModelSize))
        ->capture_default_str();
}

}  // namespace

void add_compare(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* app = program.add_subcommand(
        "compare", "Measures plans beside the uncompressed cache: one page with plots and tables.");
    app->footer(
        "Writes REPORT.html, and REPORT.md and REPORT.json beside it.\n"
        "Example: lowkey compare MODEL --plan eigen.plan --plan razor.plan --text test.txt "
        "--haystack essays/ -o report.html");
    add_model(*app, *options);
    add_run_flags(*app, *options);
    app->add_option("--plan", options->plans, "a plan to compare; may be given again")
        ->type_name("PLAN")
        ->allow_extra_args(false);
    add_text_flags(*app, *options);
    add_needle_flags(*app, *options);
    add_other_flags(*app, *options);
    app->add_option("-o,--output", options->output, "the page")
        ->required()
        ->type_name("REPORT.html");
    add_resume_flag(*app, options->resume);
    app->callback([options, app] { run(*options, *app); });
}

}  // namespace lowkey::cli
