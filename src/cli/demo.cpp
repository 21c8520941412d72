#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "base/size.h"
#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "cli/comparison_output.h"
#include "cli/item_run.h"
#include "compress/compose.h"
#include "compress/planner.h"
#include "eval/comparison.h"
#include "eval/paired_speed.h"
#include "report/comparison_verdict.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::vector<double> keeps = {0.6, 0.4};
    std::string output = "lowkey-demo";
};

constexpr int64_t kCalibrationSequences = 32;
constexpr int64_t kCalibrationLength = 512;
constexpr uint64_t kCalibrationSeed = 1;
constexpr int64_t kScoredSequences = 4;
constexpr int64_t kScoredLength = 2048;
constexpr int64_t kScoredPrefill = 1536;
constexpr uint64_t kScoringSeed = 2;
constexpr int64_t kWindow = 256;     // that razor and streaming keep of the newest tokens
constexpr double kRetrieval = 0.25;  // share of the heads that razor keeps whole
constexpr const char* kPrompt = "The old man opened the letter and read it";

/// Makes the folder, and sees that all which the demo writes there can be written.
void prepare_folder(const Options& options) {
    std::error_code error;
    std::filesystem::create_directories(options.output, error);
    if (error) {
        throw FileError("cannot make the folder", options.output + " (" + error.message() + ")",
                        "name another one");
    }
    CommandFiles files;
    for (const char* name :
         {"model.stats", "razor.plan", "streaming.plan", "report.html", "report.md", "report.json"})
        files.writes.push_back(fmt::format("{}/{}", options.output, name));
    for (const double keep : options.keeps)
        files.writes.push_back(fmt::format("{}/eigen-{:g}.plan", options.output, keep));
    files.writes.push_back(
        fmt::format("{}/razor-eigen-{:g}.plan", options.output, options.keeps.front()));
    check_files(options, files);
}

/// A plan of the demo, and where it was written.
struct DemoPlan {
    Contestant contestant;
    std::string path;
};

class Demo {
public:
    explicit Demo(const Options& options)
        : options_(options),
          model_(load_model(options)),
          tokenizer_(load_tokenizer(options)),
          start_(document_start(*tokenizer_, *model_)) {}

    void run() {
        const ReportFiles files(options_.output + "/report.html");
        say_what_it_is();
        const CalibrationStats stats = learn();
        make_plans(stats);
        const ComparisonReport report = measure();
        files.write(report);
        if (options_.json) return print_json(summary(report, files));
        fmt::print("\n");
        print_comparison(report);
        const std::string& plan = plans_.front().path;
        fmt::print(
            "\nThe report is {}: plots, samples side by side, and the commands to repeat it.\n"
            "`lowkey inspect {}` shows a plan, `lowkey generate {} -p TEXT --plan {}` runs it.\n",
            files.html, plan, options_.model, plan);
    }

private:
    static void say(const std::string& words) { fmt::print(stderr, "{}\n", words); }

    void say_what_it_is() const {
        const ModelConfig& config = model_->config();
        say(fmt::format("model: {} layers, {} KV heads of {}, {} of cache per token",
                        config.num_layers, config.num_kv_heads, config.head_dim,
                        format_bytes(config.kv_bytes_per_token())));
    }

    CalibrationStats learn() const {
        say(fmt::format("1. calibrating on {} texts that the model writes itself",
                        kCalibrationSequences));
        CalibrationStats stats =
            calibrate(*model_, sample_sequences(*model_, kCalibrationSequences, kCalibrationLength,
                                                kCalibrationSeed, start_));
        stats.settings = {{"source", "self"},
                          {"sequences", kCalibrationSequences},
                          {"length", kCalibrationLength}};
        write_stats(options_.output + "/model.stats", stats);
        return stats;
    }

    void add_plan(const std::string& name, PlanFile plan) {
        const std::string path = fmt::format("{}/{}.plan", options_.output, name);
        write_plan(path, plan);
        plans_.push_back({{name, std::move(plan)}, path});
    }

    void make_plans(const CalibrationStats& stats) {
        say("2. making plans: fewer coordinates (eigen), fewer tokens (razor, streaming), both");
        for (const double keep : options_.keeps) {
            add_plan(fmt::format("eigen-{:g}", keep),
                     find_planner("eigen").make({model_, &stats, {{"keep", keep}}}));
        }
        add_plan("razor", find_planner("razor").make(
                              {model_, nullptr, {{"window", kWindow}, {"induction", kRetrieval}}}));
        const PlanFile both =
            compose_plans({plans_.back().contestant.plan, plans_.front().contestant.plan});
        add_plan(fmt::format("razor-{}", plans_.front().contestant.name), both);
        add_plan("streaming",
                 find_planner("streaming").make({model_, nullptr, {{"window", kWindow}}}));
    }

    /// What the model writes is text, and hay.
    [[nodiscard]] ComparisonTasks tasks(const std::vector<std::vector<int32_t>>& sequences) const {
        ComparisonTasks tasks;
        for (const std::vector<int32_t>& sequence : sequences) {
            tasks.windows.emplace_back(sequence);
            tasks.haystack.push_back(tokenizer_->decode(sequence, true));
        }
        tasks.prefill = kScoredPrefill;
        tasks.needle = {.lengths = {512, 1024}, .depths = {0, 0.25, 0.5, 0.75, 1}, .trials = 2};
        tasks.speed.prompts.clear();
        tasks.speed.depths = {0, 2048, 6144};
        tasks.speed.repeat = int{kRunsForVerdict};
        tasks.lengths = {512, 1024, 2048, 4096, 6144};
        tasks.prompts = {{"A beginning", tokenizer_->encode(kPrompt, true)}};
        return tasks;
    }

    ComparisonReport measure() {
        say("3. measuring them beside the uncompressed cache");
        const auto sequences =
            sample_sequences(*model_, kScoredSequences, kScoredLength, kScoringSeed, start_);
        std::vector<Contestant> contestants;
        for (const DemoPlan& plan : plans_) contestants.push_back(plan.contestant);
        ComparisonReport report = [&] {
            const ItemRun items("compare", "", "", {});
            return compare(model_, *tokenizer_, contestants, tasks(sequences),
                           {.prefill_chunk = options_.prefill_chunk}, items.options());
        }();
        report.model = base_name(options_.model);
        describe_setup(options_, report);
        report.text_name = "texts that the model wrote";
        report.command = "lowkey demo";
        if (options_.model != "small") report.command += fmt::format(" {}", report.model);
        for (size_t i = 0; i < plans_.size(); ++i)
            report.caches[i + 1].file = base_name(plans_[i].path);
        return report;
    }

    [[nodiscard]] nlohmann::json summary(const ComparisonReport& report,
                                         const ReportFiles& files) const {
        nlohmann::json caches = nlohmann::json::array();
        for (const ComparedCache& cache : report.caches) {
            caches.push_back({{"name", cache.name},
                              {"cache", to_json(cache.text->cache)},
                              {"perplexity", cache.text->perplexity()},
                              {"mean_kl", cache.text->kl},
                              {"needles_found", cache.needle->num_found()},
                              {"needles", cache.needle->found.size()},
                              {"tokens_per_second", cache.speed.back().tokens_per_second},
                              {"text", cache.samples.front()}});
        }
        return {{"caches", std::move(caches)},
                {"plan", plans_.front().path},
                {"report", files.html},
                {"findings", findings(report)}};
    }

    const Options& options_;
    std::shared_ptr<const Model> model_;
    std::shared_ptr<const Tokenizer> tokenizer_;
    int32_t start_;
    std::vector<DemoPlan> plans_;
};

}  // namespace

void add_demo(CLI::App& program) {
    auto options = std::make_shared<Options>();
    options->model = "small";
    CLI::App* app = program.add_subcommand(
        "demo",
        "Calibrate, make plans and compare them, on the built-in model, in about a minute.");
    app->footer("Example: lowkey demo --keep 0.5");
    app->add_option("model", options->model,
                    "Hugging Face directory, or `small` for the built-in model")
        ->type_name("MODEL")
        ->capture_default_str();
    app->add_flag("--json", options->json, "print one JSON object on stdout");
    add_run_flags(*app, *options);
    app->add_option("--keep", options->keeps, "shares of the cache for eigen plans to keep")
        ->delimiter(',')
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    app->add_option("-o,--output", options->output, "folder for plans and report")
        ->capture_default_str();
    app->callback([options] {
        prepare_folder(*options);
        Demo(*options).run();
    });
}

}  // namespace lowkey::cli
