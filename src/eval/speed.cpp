#include "eval/speed.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <set>

#include "base/error.h"
#include "engine/sampler.h"
#include "eval/random_cache.h"

namespace lowkey {
namespace {

std::vector<int32_t> random_prompt(const Model& model, int64_t num_tokens) {
    std::mt19937 random(1);
    std::vector<int32_t> tokens(static_cast<size_t>(num_tokens));
    for (int32_t& token : tokens)
        token = static_cast<int32_t>(random() % static_cast<uint32_t>(model.config().vocab_size));
    return tokens;
}

/// Linear layers of a token's way through the layers, without embedding and output head.
template <typename Fn>
void for_each_linear(const Model& model, Fn fn) {
    const ModelWeights& weights = model.weights();
    for (const LayerWeights& w : weights.layers) {
        for (const auto* linear : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down}) {
            if (*linear != nullptr) fn(**linear);
        }
    }
    if (weights.project_in != nullptr) fn(*weights.project_in);
}

/// Linear layers that only tokens with logits pass.
template <typename Fn>
void for_each_output_linear(const Model& model, Fn fn) {
    if (model.weights().project_out != nullptr) fn(*model.weights().project_out);
    fn(*model.weights().lm_head);
}

PrefillSpeed run_prefill(Engine& engine, std::span<const int32_t> prompt) {
    const auto sequence = engine.new_sequence();
    PhaseRecorder recorder;
    static_cast<void>(engine.prefill_logits(*sequence, prompt));
    PrefillSpeed run;
    run.tokens = std::ssize(prompt);
    run.times = recorder.times();
    return run;
}

/// The run of median time, with the spread of all.
template <typename Run>
Run median(std::vector<Run> runs) {
    const auto seconds = [](const Run& run) { return run.times.total(); };
    std::ranges::sort(runs, {}, seconds);
    Run middle = runs[(runs.size() - 1) / 2];
    if (runs.size() > 1)
        middle.spread = (seconds(runs.back()) - seconds(runs.front())) / seconds(middle);
    return middle;
}

MachineLimits better_of(const MachineLimits& a, const MachineLimits& b) {
    return {std::max(a.read_bytes_per_second, b.read_bytes_per_second),
            std::max(a.f32_flops, b.f32_flops), std::max(a.bf16_flops, b.bf16_flops)};
}

}  // namespace

double PrefillSpeed::tokens_per_second() const {
    return static_cast<double>(tokens) / times.total();
}

double PrefillSpeed::limit_share() const { return flops / flops_limit / times.total(); }

double DecodeSpeed::tokens_per_second() const { return 1 / times.total(); }

double DecodeSpeed::limit_share() const {
    return static_cast<double>(bytes_per_token()) / read_limit / times.total();
}

std::optional<DepthLine> depth_line(std::span<const DecodeSpeed> runs) {
    std::set<int64_t> depths;
    for (const DecodeSpeed& run : runs) depths.insert(run.depth);
    if (depths.size() < 3) return std::nullopt;
    // Least squares of (a + b x) / y - 1.
    double w = 0;
    double wx = 0;
    double wxx = 0;
    double wy = 0;
    double wxy = 0;
    for (const DecodeSpeed& run : runs) {
        const auto x = static_cast<double>(run.depth);
        const double y = run.times.total();
        const double weight = 1 / (y * y);
        w += weight;
        wx += weight * x;
        wxx += weight * x * x;
        wy += weight * y;
        wxy += weight * x * y;
    }
    DepthLine line;
    line.seconds_per_token = (w * wxy - wx * wy) / (w * wxx - wx * wx);
    line.seconds = (wy - line.seconds_per_token * wx) / w;
    for (const DecodeSpeed& run : runs) {
        const double at = line.seconds + line.seconds_per_token * static_cast<double>(run.depth);
        const double deviation = 1 - at / run.times.total();
        if (std::abs(deviation) > std::abs(line.worst_deviation)) {
            line.worst_deviation = deviation;
            line.worst_depth = run.depth;
        }
    }
    return line;
}

int64_t step_weight_bytes(const Model& model) {
    int64_t bytes = 0;
    const auto add = [&](const Linear& linear) { bytes += linear.weight_bytes(); };
    for_each_linear(model, add);
    for_each_output_linear(model, add);
    return bytes;
}

int64_t step_cache_bytes(const SequenceCache& cache) {
    int64_t bytes = 0;
    std::vector<PageView> pages;
    for (int64_t layer = 0; layer < cache.layout().num_layers(); ++layer) {
        for (int64_t h = 0; h < cache.layout().num_kv_heads(); ++h) {
            const HeadCache& head = cache.head(layer, h);
            for (int64_t segment = 0; segment < head.num_segments(); ++segment) {
                head.segment_pages(segment, pages);
                for (const PageView& page : pages) bytes += page.key_bytes + page.value_bytes;
            }
        }
    }
    return bytes;
}

double prefill_flops(const Model& model, int64_t num_tokens) {
    const auto n = static_cast<double>(num_tokens);
    double flops = 0;
    const auto flops_of = [](const Linear& linear) {
        return 2.0 * static_cast<double>(linear.in_features()) *
               static_cast<double>(linear.out_features());
    };
    for_each_linear(model, [&](const Linear& linear) { flops += n * flops_of(linear); });
    for_each_output_linear(model, [&](const Linear& linear) { flops += flops_of(linear); });
    for (const LayerWeights& layer : model.weights().layers) {
        for (const CacheShape::Head& head : layer.kv_heads) {
            const double window =
                head.sliding_window > 0 ? std::min(n, static_cast<double>(head.sliding_window)) : n;
            const double pairs = window * (n - window) + window * (window + 1) / 2;
            flops += 2.0 * static_cast<double>(model.config().group_size()) *
                     static_cast<double>(head.key_dim + head.value_dim) * pairs;
        }
    }
    return flops;
}

void check_speed(Engine& engine, const SpeedOptions& options) {
    LOWKEY_CHECK(options.generate > 0 && options.repeat > 0);
    const auto sequence = engine.new_sequence();
    for (const int64_t tokens : options.prompts) {
        if (tokens < 1) throw UsageError("a prompt of no tokens", "", "give at least one token");
        engine.check_request(*sequence, tokens, 0);
    }
    for (const int64_t depth : options.depths)
        engine.check_request(*sequence, depth, options.generate + 1);
}

DecodeSpeed run_decode(Engine& engine, int64_t depth, const SpeedOptions& options) {
    const auto sequence = engine.new_sequence();
    fill_cache(*sequence, depth, options.chunk_tokens);
    Sampler sampler({});
    int32_t token = 0;
    const auto step = [&] { token = sampler.sample(engine.decode(*sequence, token).f32(), {}); };
    step();
    DecodeSpeed run;
    run.depth = depth;
    run.cache_bytes = step_cache_bytes(*sequence) / 2;
    PhaseRecorder recorder;
    for (int64_t i = 0; i < options.generate; ++i) step();
    run.times = recorder.times();
    for (double& seconds : run.times.seconds) seconds /= static_cast<double>(options.generate);
    run.cache_bytes += step_cache_bytes(*sequence) / 2;
    run.cache = engine.usage(*sequence);
    run.weight_bytes = step_weight_bytes(engine.model());
    return run;
}

Speed measure_speed(Engine& engine, const SpeedOptions& options) {
    check_speed(engine, options);
    Speed speed;
    speed.limits = measure_machine_limits(options.limits);
    const auto total =
        static_cast<int64_t>(options.prompts.size() + options.depths.size()) * options.repeat;
    int64_t done = 0;
    const auto report = [&](const std::string& what) {
        if (options.on_progress) options.on_progress(done++, total, what);
    };

    for (const int64_t tokens : options.prompts) {
        const std::vector<int32_t> prompt = random_prompt(engine.model(), tokens);
        // Linear layers are compiled for a number of tokens when they first meet it.
        const auto chunk =
            std::min<size_t>(prompt.size(), static_cast<size_t>(options.chunk_tokens));
        run_prefill(engine, std::span(prompt).first(chunk));
        std::vector<PrefillSpeed> runs;
        for (int i = 0; i < options.repeat; ++i) {
            report("prefill of " + std::to_string(tokens));
            runs.push_back(run_prefill(engine, prompt));
        }
        speed.prefill.push_back(median(std::move(runs)));
        speed.prefill.back().flops = prefill_flops(engine.model(), tokens);
    }
    for (const int64_t depth : options.depths) {
        std::vector<DecodeSpeed> runs;
        for (int i = 0; i < options.repeat; ++i) {
            report("decode at " + std::to_string(depth));
            runs.push_back(run_decode(engine, depth, options));
        }
        speed.decode.push_back(median(std::move(runs)));
    }

    speed.limits = better_of(speed.limits, measure_machine_limits(options.limits));
    const bool bf16 = engine.model().options().dtype == DType::kBF16;
    for (PrefillSpeed& run : speed.prefill)
        run.flops_limit = bf16 ? speed.limits.bf16_flops : speed.limits.f32_flops;
    for (DecodeSpeed& run : speed.decode) run.read_limit = speed.limits.read_bytes_per_second;
    return speed;
}

}  // namespace lowkey
