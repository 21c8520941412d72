#include "cli/bench_report.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "base/cpu.h"
#include "base/escape.h"
#include "base/phase_times.h"
#include "base/size.h"
#include "cli/command.h"
#include "eval/protocols.h"
#include "kernels/kernels.h"
#include "report/line_plot.h"

namespace lowkey::cli {
namespace {

constexpr double kMilliseconds = 1e3;
constexpr uint64_t kRoundDepth = 4096;

nlohmann::json phases_json(const PhaseTimes& times) {
    nlohmann::json phases;
    for (size_t i = 0; i < kNumPhases; ++i)
        phases[std::string(phase_name(static_cast<Phase>(i)))] = times.seconds[i];
    return phases;
}

nlohmann::json machine_json(const BenchReport::Run& run) {
    const MachineLimits& limits = run.speed.limits;
    return {{"processor", cpu_name()},
            {"threads", run.threads},
            {"isa", kernels().isa},
            {"read_gbs", limits.read_bytes_per_second / 1e9},
            {"bf16_gflops", limits.bf16_flops / 1e9},
            {"f32_gflops", limits.f32_flops / 1e9}};
}

nlohmann::json prefill_json(const PrefillSpeed& run, int threads) {
    return {{"tokens", run.tokens},
            {"threads", threads},
            {"seconds", run.times.total()},
            {"spread", run.spread ? nlohmann::json(*run.spread) : nlohmann::json()},
            {"tokens_per_second", run.tokens_per_second()},
            {"flops", run.flops},
            {"limit_share", run.limit_share()},
            {"phases", phases_json(run.times)}};
}

nlohmann::json decode_json(const DecodeSpeed& run, int threads) {
    return {{"depth", run.depth},
            {"threads", threads},
            {"step_seconds", run.times.total()},
            {"spread", run.spread ? nlohmann::json(*run.spread) : nlohmann::json()},
            {"tokens_per_second", run.tokens_per_second()},
            {"bytes_per_token", run.bytes_per_token()},
            {"weight_bytes", run.weight_bytes},
            {"cache_bytes", run.cache_bytes},
            {"cache", to_json(run.cache)},
            {"limit_share", run.limit_share()},
            {"attention_seconds", run.times.of(Phase::kAttention)},
            {"phases", phases_json(run.times)}};
}

nlohmann::json line_json(const DepthLine& line, int threads) {
    return {{"threads", threads},
            {"seconds", line.seconds},
            {"seconds_per_token", line.seconds_per_token},
            {"worst_deviation", line.worst_deviation},
            {"worst_depth", line.worst_depth}};
}

/// What a divergence over a few steps of text says of a cache.
const char* judgement(double kl) {
    if (kl < 0.002) return "as good as the same";
    if (kl < 0.05) return "close to it";
    if (kl < 0.3) return "a model that is clearly worse";
    return "another model: the plan is broken or keeps far too little";
}

nlohmann::json check_json(const Perplexity& check) {
    return {{"tokens", check.tokens},
            {"scored", windows_scored(check.prefill)},
            {"judgement", judgement(check.reference->mean_kl)},
            {"mean_kl", check.reference->mean_kl},
            {"top1_agreement", check.reference->top1_agreement},
            {"perplexity", check.perplexity()},
            {"reference_perplexity", std::exp(check.reference->nll)},
            {"cache", to_json(check.cache)}};
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

std::string threads_text(int threads) {
    return fmt::format("{} thread{}", threads, threads == 1 ? "" : "s");
}

std::string spread_text(const std::optional<double>& spread) {
    return spread ? fmt::format("{:.1f} %", 100 * *spread) : "one run";
}

void print_head(const BenchReport& report) {
    fmt::print("machine  {}, {}\n", cpu_name(), kernels().isa);
    for (const BenchReport::Run& run : report.runs) {
        const MachineLimits& limits = run.speed.limits;
        fmt::print("limits   {}: read {:.1f} GB/s, bf16 {:.0f} GFLOP/s, f32 {:.0f} GFLOP/s\n",
                   threads_text(run.threads), limits.read_bytes_per_second / 1e9,
                   limits.bf16_flops / 1e9, limits.f32_flops / 1e9);
    }
    fmt::print("model    {}, {:.2f} B parameters, {}\n", printable(report.architecture),
               static_cast<double>(report.num_parameters) / 1e9, report.dtype);
    fmt::print("cache    {}\n", report.plan.empty() ? "uncompressed" : printable(report.plan));
    if (report.check) {
        const Perplexity& check = *report.check;
        fmt::print(
            "check    {} steps in a text of {} tokens against the uncompressed cache: KL {:.4f} "
            "nats, same top token {:.0f} %: {} (`lowkey compare` measures it)\n",
            check.tokens, check.cache.tokens, check.reference->mean_kl,
            100 * check.reference->top1_agreement, judgement(check.reference->mean_kl));
    }
}

void print_prefill(const BenchReport& report) {
    fmt::print("\nprefill\n{:>8}{:>9}{:>10}{:>9}{:>10}{:>12}  {}\n", "threads", "tokens",
               "tokens/s", "spread", "of limit", "seconds", phase_names());
    for (const BenchReport::Run& run : report.runs) {
        for (const PrefillSpeed& prefill : run.speed.prefill) {
            fmt::print("{:>8}{:>9}{:>10.1f}{:>9}{:>8.1f} %{:>12.3f}  {}\n", run.threads,
                       prefill.tokens, prefill.tokens_per_second(), spread_text(prefill.spread),
                       100 * prefill.limit_share(), prefill.times.total(),
                       phase_shares(prefill.times));
        }
    }
}

void print_decode(const BenchReport& report) {
    fmt::print("\ndecode\n{:>8}{:>9}{:>10}{:>9}{:>10}{:>12}{:>12}  {}\n", "threads", "depth",
               "tokens/s", "spread", "of limit", "bytes/token", "cache", phase_names());
    for (const BenchReport::Run& run : report.runs) {
        for (const DecodeSpeed& decode : run.speed.decode) {
            fmt::print("{:>8}{:>9}{:>10.2f}{:>9}{:>8.1f} %{:>12}{:>12}  {}\n", run.threads,
                       decode.depth, decode.tokens_per_second(), spread_text(decode.spread),
                       100 * decode.limit_share(), format_bytes(decode.bytes_per_token()),
                       format_bytes(decode.cache.bytes_allocated), phase_shares(decode.times));
        }
    }
    for (const BenchReport::Run& run : report.runs) {
        const auto line = depth_line(run.speed.decode);
        if (!line) continue;
        fmt::print(
            "{}: a step takes {:.2f} ms {:+.3f} ms per 1024 tokens of depth; the farthest from "
            "that is {:+.1f} %, at {}\n",
            threads_text(run.threads), kMilliseconds * line->seconds,
            1024 * kMilliseconds * line->seconds_per_token, 100 * line->worst_deviation,
            line->worst_depth);
    }
}

}  // namespace

nlohmann::json to_json(const BenchReport& report) {
    nlohmann::json json = {{"machine", machine_json(report.runs.back())},
                           {"limits", nlohmann::json::array()},
                           {"model",
                            {{"architecture", report.architecture},
                             {"parameters", report.num_parameters},
                             {"dtype", report.dtype},
                             {"fingerprint", report.fingerprint}}},
                           {"prefill", nlohmann::json::array()},
                           {"decode", nlohmann::json::array()},
                           {"depth_line", nlohmann::json::array()}};
    if (!report.plan.empty()) json["plan"] = report.plan;
    if (report.check) json["check"] = check_json(*report.check);
    for (const BenchReport::Run& run : report.runs) {
        json["limits"].push_back(machine_json(run));
        for (const PrefillSpeed& prefill : run.speed.prefill)
            json["prefill"].push_back(prefill_json(prefill, run.threads));
        for (const DecodeSpeed& decode : run.speed.decode)
            json["decode"].push_back(decode_json(decode, run.threads));
        if (const auto line = depth_line(run.speed.decode))
            json["depth_line"].push_back(line_json(*line, run.threads));
    }
    return json;
}

void print(const BenchReport& report) {
    print_head(report);
    if (!report.runs.back().speed.prefill.empty()) print_prefill(report);
    if (!report.runs.back().speed.decode.empty()) print_decode(report);
}

std::string step_plot(const BenchReport& report) {
    const BenchReport::Run& run = report.runs.back();
    LinePlot plot{
        .title = fmt::format("A decoding step of {} ({:.2f} B, {}) on {}, {}", report.architecture,
                             static_cast<double>(report.num_parameters) / 1e9, report.dtype,
                             cpu_name(), threads_text(run.threads)),
        .x_label = "tokens in the cache",
        .y_label = "milliseconds"};
    LinePlot::Line step{.name = "step", .points = {}};
    LinePlot::Line attention{.name = "attention", .points = {}};
    LinePlot::Line limit{.name = "memory's limit", .points = {}, .dashed = true};
    for (const DecodeSpeed& decode : run.speed.decode) {
        const auto depth = static_cast<double>(decode.depth);
        const double seconds = decode.times.total();
        step.points.emplace_back(depth, kMilliseconds * seconds);
        attention.points.emplace_back(depth, kMilliseconds * decode.times.of(Phase::kAttention));
        limit.points.emplace_back(depth, kMilliseconds * seconds * decode.limit_share());
    }
    plot.lines = {step, attention, limit};
    // Depths are mostly powers of two: so are the numbers on their axis.
    const auto deepest =
        static_cast<uint64_t>(run.speed.decode.empty() ? 0 : run.speed.decode.back().depth);
    if (deepest >= kRoundDepth) plot.x_step = static_cast<double>(std::bit_floor(deepest / 4));
    return draw_line_plot(plot);
}

}  // namespace lowkey::cli
