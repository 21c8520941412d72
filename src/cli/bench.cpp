#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "cli/bench_report.h"
#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "eval/perplexity.h"
#include "eval/speed.h"
#include "io/random_checkpoint.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::string config;
    std::string plot;
    bool random = false;
    bool check = true;
    std::vector<int> thread_counts = {0};  ///< 0: physical cores
    SpeedOptions speed;
};

std::shared_ptr<const Model> make_model(const Options& options) {
    if (options.random == options.config.empty()) {
        throw UsageError("--config and --random go together",
                         options.random ? "--random" : "--config " + options.config,
                         "give both, or a MODEL");
    }
    if (options.random != options.model.empty()) {
        throw UsageError("what to measure", options.model,
                         "give either MODEL or --config CONFIG.json --random");
    }
    if (!options.random) return load_model(options);
    apply_run_flags(options);
    const DType dtype = *parse_dtype(options.dtype);
    return Model::load(std::make_shared<const RandomCheckpoint>(options.config, dtype),
                       {dtype, options.max_context});
}

BenchReport describe(const Options& options, const Model& model) {
    BenchReport report;
    report.architecture = model.config().architecture;
    report.dtype = dtype_name(model.options().dtype);
    report.fingerprint = model.fingerprint();
    report.num_parameters = model.weights().checkpoint->num_parameters();
    report.plan = options.plan;
    return report;
}

/// Steps of a text through the plan's cache and through the uncompressed one: a fast cache that
/// holds garbage should not look good. Speed is worth telling without it, so what hinders it (no
/// tokenizer, a short context) is but said.
std::optional<Perplexity> check_cache(Engine& engine, const std::shared_ptr<const Model>& model,
                                      const Options& options) {
    constexpr int64_t kSteps = 32;
    try {
        const std::string text = read_text(model_directory("small") + "/sample.txt");
        const std::vector<int32_t> ids = load_tokenizer(options)->encode(text, true);
        const int64_t tokens = std::min<int64_t>(std::ssize(ids), model->max_context());
        const std::span<const int32_t> window(ids.data(), static_cast<size_t>(tokens));
        Engine reference = make_reference_engine(model, options);
        return evaluate_perplexity(engine, {&window, 1}, {.prefill = tokens - kSteps - 1},
                                   &reference);
    } catch (const Error& error) {
        std::fprintf(stderr, "no check of the cache: %s\n", error.what());
        return std::nullopt;
    }
}

Speed measure(Engine& engine, const Options& options) {
    SpeedOptions speed = options.speed;
    speed.chunk_tokens = options.prefill_chunk;
    std::optional<Progress> progress;
    const std::string label = fmt::format("bench on {} thread(s)", num_threads());
    int64_t all = 0;
    speed.on_progress = [&](int64_t done, int64_t total, const std::string& what) {
        all = total;
        if (!progress) progress.emplace(label, total);
        progress->update(done, what);
    };
    Speed found = measure_speed(engine, speed);
    if (progress) progress->update(all);
    return found;
}

/// Weights are loaded for every number of threads, as a process of its own would do it.
BenchReport measure_on(const std::vector<int>& thread_counts, Options& options) {
    BenchReport report;
    for (const int threads : thread_counts) {
        options.threads = threads;
        const auto model = make_model(options);
        Engine engine = make_engine(model, options);
        if (report.runs.empty()) report = describe(options, *model);
        report.runs.push_back({num_threads(), measure(engine, options)});
        const bool last = report.runs.size() == thread_counts.size();
        if (last && options.check && !options.plan.empty() && !options.random)
            report.check = check_cache(engine, model, options);
    }
    return report;
}

void run(Options options) {
    check_files(options, {.reads = {options.config}, .writes = {options.plot}});
    std::ranges::sort(options.speed.depths);
    const BenchReport report = measure_on(options.thread_counts, options);
    if (!options.plot.empty()) {
        AtomicFile file(options.plot);
        file.write(step_plot(report));
        file.commit();
        std::fprintf(stderr, "wrote %s\n", options.plot.c_str());
    }
    if (options.json) {
        print_json(to_json(report));
    } else {
        print(report);
    }
}

}  // namespace

void add_bench(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* app = program.add_subcommand(
        "bench",
        "Measure prefill and decoding, and what this machine could do at most, in one run.");
    app->footer(
        "A depth is a number of tokens in the cache; they are random numbers that are written\n"
        "there as a prompt would be. A speed is the median of the repeats, spread what lies "
        "between\n"
        "the slowest and the fastest.\n"
        "Example: lowkey bench --config bench/configs/gqa-1.1b.json --random --depths 0,16384");
    add_model(*app, *options)->required(false);
    app->add_option("--config", options->config, "instead of MODEL, with --random: its config.json")
        ->type_name("CONFIG.json");
    app->add_flag("--random", options->random, "random weights of the shapes of --config");
    add_run_flags(*app, *options);
    app->remove_option(app->get_option("--threads"));  // several make several rows here
    app->add_option("--threads", options->thread_counts,
                    "threads; all is measured on each number of them (default: physical cores)")
        ->delimiter(',')
        ->allow_extra_args(false)  // a MODEL may follow
        ->check(CLI::Range(1, 1024));
    add_cache_flags(*app, *options);
    SpeedOptions& speed = options->speed;
    app->add_option("--prompt", speed.prompts, "lengths of the prompts that are prefilled")
        ->delimiter(',')
        ->allow_extra_args(false)  // a MODEL may follow
        ->check(CLI::Range(int64_t{1}, kMaxModelSize))
        ->capture_default_str();
    app->add_option("--depths", speed.depths, "tokens in the cache before decoding")
        ->delimiter(',')
        ->allow_extra_args(false)  // a MODEL may follow
        ->check(CLI::Range(int64_t{0}, kMaxModelSize))
        ->capture_default_str();
    app->add_option("--generate", speed.generate, "tokens that are decoded at each depth")
        ->check(CLI::Range(int64_t{1}, kMaxModelSize))
        ->capture_default_str();
    app->add_option("--repeat", speed.repeat, "times that everything is measured")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app->add_option("--plot", options->plot, "draw the time of a decoding step against depth")
        ->type_name("FILE.svg");
    app->add_flag("!--no-check", options->check,
                  "do not compare a plan's steps with those of the uncompressed cache");
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
