#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lowkey/cache.h"

namespace lowkey {

// What a comparison found, as plain data: nothing here runs a model, and all pages, tables and
// verdicts are made from it alone.

/// How a cache scores text that it decodes, token by token beside the uncompressed cache.
struct TextScore {
    double nll = 0;           ///< mean over targets, nats
    double change = 0;        ///< mean of nll minus that of the uncompressed cache, per target
    double change_error = 0;  ///< standard error of that mean
    double kl = 0;            ///< mean KL(uncompressed || this), nats
    double top1 = 0;          ///< share of targets where both rank the same token first
    CacheUsage cache = {};    ///< at the end of the last window

    /// exp(nll)
    [[nodiscard]] double perplexity() const;
    /// exp(change) - 1: the relative change of the perplexity.
    [[nodiscard]] double relative_change() const;
};

/// Which prompts of the needle test were answered, in the order of ComparisonReport::needles.
struct NeedleScore {
    std::vector<bool> found = {};
    CacheUsage cache = {};  ///< of the longest prompt, at the end of its answer

    /// How many prompts were answered.
    [[nodiscard]] int64_t num_found() const;
};

/// Which questions were answered rightly.
struct TaskScore {
    std::vector<bool> right = {};
    /// By log-likelihood per character; empty where not scored so.
    std::vector<bool> right_norm = {};
    CacheUsage cache = {};  ///< of the longest context

    /// The share of questions answered rightly, and the same by `right_norm`, where scored so.
    [[nodiscard]] double accuracy() const;
    [[nodiscard]] std::optional<double> accuracy_norm() const;
    /// The accuracy's standard error: sqrt(p (1 - p) / (n - 1)); 0 for one question.
    [[nodiscard]] double accuracy_error() const;
};

/// Greedy decoding behind `depth` cached tokens.
struct SpeedScore {
    int64_t depth = 0;
    double tokens_per_second = 0;
    double attention_seconds = 0;  ///< of a step
    /// How many times as fast as the uncompressed cache beside it, the median of runs; of the
    /// uncompressed cache: against itself.
    double share = 1;
    /// What noise lets that be: an interval of the median. 0 and 0 where there were too few runs.
    double share_low = 0;
    double share_high = 0;

    /// Whether share_low and share_high say something.
    [[nodiscard]] bool has_interval() const { return share_high > 0; }
};

/// A layer of a plan: coordinates per KV head, and what the planner measured.
struct LayerSummary {
    std::vector<int64_t> key_ranks = {};  ///< [num_kv_heads]; head_dim where vectors are kept whole
    std::vector<int64_t> value_ranks = {};  ///< likewise
    std::optional<double> error = {};       ///< relative, of the layer's output
};

/// A score of heads that a plan stores: [num_layers][num_heads].
struct HeadScores {
    std::string name = {};  ///< "induction", "echo"
    std::vector<std::vector<double>> values = {};
    std::vector<std::vector<bool>> kept_whole = {};  ///< heads that keep all tokens
};

/// One row: a cache, and all that was measured of it.
struct ComparedCache {
    std::string name = {};
    std::string method = {};   ///< empty for the uncompressed cache
    std::string file = {};     ///< base name of the plan
    std::string hash = {};     ///< of the plan file
    std::string command = {};  ///< that makes such a plan
    bool exact_prefill = false;
    std::vector<LayerSummary> layers = {};
    std::vector<HeadScores> head_scores = {};

    std::vector<CacheUsage> memory = {};  ///< by ComparisonReport::lengths
    std::optional<TextScore> text = {};
    std::optional<NeedleScore> needle = {};
    std::optional<TaskScore> task = {};
    std::vector<SpeedScore> speed = {};     ///< by depth
    std::vector<std::string> samples = {};  ///< by ComparisonReport::prompts
};

/// A prompt whose continuations are shown side by side.
struct SamplePrompt {
    std::string name = {};
    std::string end = {};  ///< its last words
    int64_t tokens = 0;
};

/// One prompt of the needle test.
struct NeedlePlace {
    int64_t length = 0;
    double depth = 0;
    friend bool operator==(const NeedlePlace&, const NeedlePlace&) = default;
};

/// A whole comparison.
struct ComparisonReport {
    // What was compared.
    std::string model = {};  ///< base name
    std::string architecture = {};
    std::string model_fingerprint = {};
    int64_t parameters = 0;
    int64_t num_layers = 0;
    int64_t num_heads = 0;
    int64_t num_kv_heads = 0;
    int64_t head_dim = 0;
    int64_t kv_bytes_per_token = 0;

    // With what.
    std::string version = {};
    std::string processor = {};
    std::string isa = {};
    int64_t threads = 0;
    std::string dtype = {};
    std::string command = {};  ///< that repeats it

    // On what.
    std::string text_name = {};
    std::string text_hash = {};
    int64_t windows = 0;
    int64_t window_length = 0;
    int64_t window_prefill = 0;
    int64_t targets = 0;           ///< scored tokens
    std::string text_scored = {};  ///< how, in words
    std::vector<NeedlePlace> needles = {};
    std::string task_name = {};
    int64_t speed_steps = 0;
    int64_t speed_repeats = 0;
    std::vector<int64_t> lengths = {};  ///< tokens for which bytes were counted, ascending
    std::vector<SamplePrompt> prompts = {};

    /// Rows; the first is the uncompressed cache.
    std::vector<ComparedCache> caches = {};

    /// Cells of the needle grid: places that differ, in order, and each one's prompts.
    [[nodiscard]] std::vector<NeedlePlace> needle_cells() const;
    /// Share of a cell's prompts that a cache answered.
    [[nodiscard]] double needle_share(const ComparedCache& cache, const NeedlePlace& cell) const;
};

/// All of it, with the derived numbers.
nlohmann::json to_json(const ComparisonReport& report);

}  // namespace lowkey
