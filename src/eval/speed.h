#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/phase_times.h"
#include "engine/engine.h"
#include "kernels/machine_limits.h"

namespace lowkey {

/// What to measure.
struct SpeedOptions {
    std::vector<int64_t> prompts = {512};            ///< tokens of each prefill
    std::vector<int64_t> depths = {0, 4096, 16384};  ///< cached tokens before decoding
    int64_t generate = 32;                           ///< steps of each decoding
    int repeat = 3;                                  ///< runs of each, of which the median counts
    int64_t chunk_tokens = 512;                      ///< of a prompt that fills the cache
    LimitOptions limits = {};                        ///< how the machine is measured
    std::function<void(int64_t done, int64_t total, const std::string& what)> on_progress = {};
};

/// One prompt through an empty cache, up to the logits after its last token.
struct PrefillSpeed {
    int64_t tokens = 0;
    PhaseTimes times;  ///< of the prompt
    /// Between the slowest and the fastest run, as a share of the median; nothing of one run.
    std::optional<double> spread = {};
    /// Sums of products that the model asks for: linear layers (the output head for one token) and
    /// causal attention to the uncompressed cache.
    double flops = 0;
    double flops_limit = 0;  ///< of the machine for this model's weights, per second

    [[nodiscard]] double tokens_per_second() const;
    /// Of the machine's products per second.
    [[nodiscard]] double limit_share() const;
};

/// Greedy decoding with `depth` tokens in the cache at first.
struct DecodeSpeed {
    int64_t depth = 0;
    PhaseTimes times;                   ///< of a step
    std::optional<double> spread = {};  ///< as of PrefillSpeed
    int64_t weight_bytes = 0;           ///< that a step reads
    int64_t cache_bytes = 0;  ///< that a step's attention reads: tiles of the pages it sees
    CacheUsage cache;         ///< after the last step
    double read_limit = 0;    ///< of the machine, bytes per second

    [[nodiscard]] double tokens_per_second() const;
    [[nodiscard]] int64_t bytes_per_token() const { return weight_bytes + cache_bytes; }
    /// Of the machine's read bandwidth.
    [[nodiscard]] double limit_share() const;
};

/// A straight line through the times of steps at their depths, which shows what each token in the
/// cache costs and how far any step is from that.
struct DepthLine {
    double seconds = 0;            ///< at depth 0
    double seconds_per_token = 0;  ///< of depth
    double worst_deviation = 0;    ///< of a step from the line, as a share of the step; signed
    int64_t worst_depth = 0;       ///< where that is
};

/// The line whose deviations, as shares of the steps, have the least squares. None for less than
/// three depths: a line goes through any two.
std::optional<DepthLine> depth_line(std::span<const DecodeSpeed> runs);

/// What came of it, and what this machine can do.
struct Speed {
    MachineLimits limits;
    std::vector<PrefillSpeed> prefill;
    std::vector<DecodeSpeed> decode;
};

/// Measures an engine and, before and after, the machine's limits, of which the better count: both
/// share the machine with other programs. Throws UsageError and BudgetError, before anything is
/// measured, for prompts and depths that do not fit.
Speed measure_speed(Engine& engine, const SpeedOptions& options);

/// One run of greedy decoding behind `depth` random tokens; the first step, which finds nothing
/// where it was, is not counted. Leaves `read_limit` 0. Throws as measure_speed().
DecodeSpeed run_decode(Engine& engine, int64_t depth, const SpeedOptions& options);
/// Throws UsageError and BudgetError for prompts and depths that do not fit.
void check_speed(Engine& engine, const SpeedOptions& options);

/// Bytes of weights that a decoding step reads.
int64_t step_weight_bytes(const Model& model);
/// Bytes of the cache that the attention of the next step reads.
int64_t step_cache_bytes(const SequenceCache& cache);
/// PrefillSpeed::flops.
double prefill_flops(const Model& model, int64_t num_tokens);

}  // namespace lowkey
