#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "base/atomic_file.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/phase_times.h"
#include "base/progress.h"
#include "base/size.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "eval/line_plot.h"
#include "eval/speed.h"
#include "io/random_checkpoint.h"
#include "kernels/kernels.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::string config;
    std::string plot;
    bool random = false;
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

nlohmann::json phases_json(const PhaseTimes& times) {
    nlohmann::json phases;
    for (size_t i = 0; i < kNumPhases; ++i)
        phases[std::string(phase_name(static_cast<Phase>(i)))] = times.seconds[i];
    return phases;
}

nlohmann::json to_json(const Engine& engine, const Speed& speed) {
    const ModelConfig& config = engine.model().config();
    nlohmann::json json = {{"machine",
                            {{"processor", cpu_name()},
                             {"threads", num_threads()},
                             {"isa", kernels().isa},
                             {"read_gbs", speed.limits.read_bytes_per_second / 1e9},
                             {"bf16_gflops", speed.limits.bf16_flops / 1e9},
                             {"f32_gflops", speed.limits.f32_flops / 1e9}}},
                           {"model",
                            {{"architecture", config.architecture},
                             {"parameters", engine.model().weights().checkpoint->num_parameters()},
                             {"dtype", dtype_name(engine.model().options().dtype)},
                             {"fingerprint", engine.model().fingerprint()}}},
                           {"prefill", nlohmann::json::array()},
                           {"decode", nlohmann::json::array()}};
    for (const PrefillSpeed& run : speed.prefill) {
        json["prefill"].push_back({{"tokens", run.tokens},
                                   {"seconds", run.times.total()},
                                   {"tokens_per_second", run.tokens_per_second()},
                                   {"flops", run.flops},
                                   {"limit_share", run.limit_share()},
                                   {"phases", phases_json(run.times)}});
    }
    for (const DecodeSpeed& run : speed.decode) {
        json["decode"].push_back({{"depth", run.depth},
                                  {"step_seconds", run.times.total()},
                                  {"tokens_per_second", run.tokens_per_second()},
                                  {"bytes_per_token", run.bytes_per_token()},
                                  {"weight_bytes", run.weight_bytes},
                                  {"cache_bytes", run.cache_bytes},
                                  {"limit_share", run.limit_share()},
                                  {"attention_seconds", run.times.of(Phase::kAttention)},
                                  {"phases", phases_json(run.times)}});
    }
    return json;
}

/// "  linear  attention ..." or the phases' shares of the whole below it.
std::string phase_names() {
    std::string names;
    for (size_t i = 0; i < kNumPhases; ++i)
        names += fmt::format("{:>11}", phase_name(static_cast<Phase>(i)));
    return names;
}

std::string phase_shares(const PhaseTimes& times) {
    std::string shares;
    for (const double seconds : times.seconds)
        shares += fmt::format("{:>9.1f} %", 100 * seconds / times.total());
    return shares;
}

void print(const Engine& engine, const Speed& speed) {
    const Model& model = engine.model();
    fmt::print("machine  {}, {} threads, {}\n", cpu_name(), num_threads(), kernels().isa);
    fmt::print("limits   read {:.1f} GB/s, bf16 {:.0f} GFLOP/s, f32 {:.0f} GFLOP/s\n",
               speed.limits.read_bytes_per_second / 1e9, speed.limits.bf16_flops / 1e9,
               speed.limits.f32_flops / 1e9);
    fmt::print("model    {}, {:.2f} B parameters, {}\n", model.config().architecture,
               static_cast<double>(model.weights().checkpoint->num_parameters()) / 1e9,
               dtype_name(model.options().dtype));
    if (!speed.prefill.empty()) {
        fmt::print("\nprefill\n{:>8}{:>10}{:>10}{:>12}  {}\n", "tokens", "tokens/s", "of limit",
                   "seconds", phase_names());
    }
    for (const PrefillSpeed& run : speed.prefill) {
        fmt::print("{:>8}{:>10.1f}{:>8.1f} %{:>12.3f}  {}\n", run.tokens, run.tokens_per_second(),
                   100 * run.limit_share(), run.times.total(), phase_shares(run.times));
    }
    if (!speed.decode.empty()) {
        fmt::print("\ndecode\n{:>8}{:>10}{:>10}{:>12}  {}\n", "depth", "tokens/s", "of limit",
                   "bytes/token", phase_names());
    }
    for (const DecodeSpeed& run : speed.decode) {
        fmt::print("{:>8}{:>10.2f}{:>8.1f} %{:>12}  {}\n", run.depth, run.tokens_per_second(),
                   100 * run.limit_share(), format_bytes(run.bytes_per_token()),
                   phase_shares(run.times));
    }
}

/// The time of a decoding step against depth.
LinePlot step_plot(const Engine& engine, const Speed& speed) {
    constexpr double kMilliseconds = 1e3;
    LinePlot plot{
        .title = fmt::format("A decoding step of {} on {}, {} threads",
                             engine.model().config().architecture, cpu_name(), num_threads()),
        .x_label = "tokens in the cache",
        .y_label = "milliseconds"};
    LinePlot::Line step{.name = "step", .points = {}};
    LinePlot::Line attention{.name = "attention", .points = {}};
    LinePlot::Line limit{.name = "memory's limit", .points = {}, .dashed = true};
    for (const DecodeSpeed& run : speed.decode) {
        const auto depth = static_cast<double>(run.depth);
        const double seconds = run.times.total();
        step.points.emplace_back(depth, kMilliseconds * seconds);
        attention.points.emplace_back(depth, kMilliseconds * run.times.of(Phase::kAttention));
        limit.points.emplace_back(depth, kMilliseconds * seconds * run.limit_share());
    }
    plot.lines = {step, attention, limit};
    return plot;
}

void run(Options options) {
    if (!options.plot.empty()) check_writable(options.plot);
    Engine engine = make_engine(make_model(options), options);
    std::sort(options.speed.depths.begin(), options.speed.depths.end());
    options.speed.chunk_tokens = options.prefill_chunk;
    std::optional<Progress> progress;
    options.speed.on_progress = [&](int64_t done, int64_t total, const std::string& what) {
        if (!progress) progress.emplace("bench", total);
        progress->update(done, what);
    };
    const Speed speed = measure_speed(engine, options.speed);
    progress.reset();
    if (!options.plot.empty()) {
        AtomicFile file(options.plot);
        file.write(draw_line_plot(step_plot(engine, speed)));
        file.commit();
        std::fprintf(stderr, "wrote %s\n", options.plot.c_str());
    }
    if (options.json) {
        print_json(to_json(engine, speed));
    } else {
        print(engine, speed);
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
        "there as a prompt would be. A speed is the median of the repeats.\n"
        "Example: lowkey bench --config bench/configs/gqa-1.1b.json --random --depths 0,16384");
    add_model(*app, *options)->required(false);
    app->add_option("--config", options->config, "instead of MODEL, with --random: its config.json")
        ->type_name("CONFIG.json");
    app->add_flag("--random", options->random, "random weights of the shapes of --config");
    add_run_flags(*app, *options);
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
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
