#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "model/model.h"

namespace lowkey {

/// Gram matrices Σ xᵀx of one kind of vectors: [num_layers, num_kv_heads, head_dim, head_dim] f64,
/// row-major.
using GramSet = Tensor;

/// What planners learn from calibration text. Kinds of Grams: "K", "Q", "V" (after projection and
/// bias, before rotation), "O" (attention outputs), "K_attended" and "Q_attended" (see
/// AttendedGrams), and with rotary positions "K_rot", "Q_rot". Those of queries and outputs sum
/// over the query heads that share a KV head. Source: Eigen Attention (arXiv 2408.05646),
/// section 3.1, whose SVDs these Grams replace.
struct CalibrationStats {
    std::string fingerprint;  ///< of the model
    nlohmann::json settings = nlohmann::json::object();
    int64_t length = 0;                     ///< tokens per sequence, each from position 0
    std::vector<std::vector<int32_t>> ids;  ///< the sequences
    /// Positions whose Grams are kept apart: attention sinks are unlike all other tokens.
    int64_t first_tokens = 0;
    std::map<std::string, GramSet> first;  ///< of positions below first_tokens
    std::map<std::string, GramSet> rest;   ///< of all others

    [[nodiscard]] int64_t num_tokens() const { return static_cast<int64_t>(ids.size()) * length; }
};

/// The kinds of Grams of a model with or without rotary positions.
std::vector<std::string> gram_kinds(bool rotary);

class CalibrationPart;

/// How to calibrate.
struct CalibrationOptions {
    int64_t first_tokens = 4;
    /// Most bytes of the caches that are held at a time; 0: as many as it takes.
    int64_t kv_budget_bytes = 0;
    /// Where an unfinished run is kept, and goes on from; null: nowhere. It must be one of the same
    /// sequences and options.
    CalibrationPart* part = nullptr;
    /// Asked after each sequence; true stops with an Error, once `part` has what was done.
    std::function<bool()> should_stop = {};
};

/// Runs the sequences, all of one length, through the uncompressed model and sums Grams in f64, in
/// memory that does not depend on the number of sequences. Says how long it will take where that is
/// long, and draws a progress line. Throws UsageError for sequences that are empty, of unequal
/// length or longer than the model's context, BudgetError when one does not fit, and Error when the
/// model's numbers are not finite, naming the layer.
CalibrationStats calibrate(const Model& model, const std::vector<std::vector<int32_t>>& sequences,
                           const CalibrationOptions& options = {});

/// `count` sequences of `length` tokens at even distances in `tokens`, but no more than fit side by
/// side (the same tokens twice would count as two observations), which is said on stderr; a seed
/// other than 0 shifts each at random. With `bos`, every sequence starts with that token. Throws
/// UsageError when there are fewer than `length` tokens.
std::vector<std::vector<int32_t>> cut_sequences(std::span<const int32_t> tokens, int64_t count,
                                                int64_t length, uint64_t seed,
                                                std::optional<int32_t> bos);

/// How many sequences sample_sequences() advances together, whatever was asked for: results differ
/// in last digits with the number of rows, and with them the text.
inline constexpr int64_t kSampledTogether = 4;

/// `count` sequences of `length` tokens sampled from the model itself at temperature 1, each begun
/// with `start`: calibration for users without text. A sequence depends on its number and the seed,
/// not on `count` or the budget. Of the options all but first_tokens count. Throws UsageError as
/// calibrate(), BudgetError when kSampledTogether sequences do not fit.
std::vector<std::vector<int32_t>> sample_sequences(const Model& model, int64_t count,
                                                   int64_t length, uint64_t seed, int32_t start,
                                                   const CalibrationOptions& options = {});

/// A safetensors file: Grams `rest.K`, `first.K`, … and `input_ids` [n_seq, length], settings in
/// the metadata. Throws FileError.
void write_stats(const std::string& path, const CalibrationStats& stats);
/// Reads one and checks that it was made with this model. Throws FileError, or UsageError for
/// another model.
CalibrationStats read_stats(const std::string& path, const Model& model);
/// Of the sequences and all Grams.
std::string stats_hash(const CalibrationStats& stats);

// Parts of such files. Readers throw FileError for tensors that are missing, unknown or of another
// shape, and for Grams that no vectors can have.
void write_stats_tensors(const std::string& path, const CalibrationStats& stats,
                         std::map<std::string, std::string> metadata);
void read_stats_ids(const SafetensorsFile& file, const Model& model, CalibrationStats& stats);
void read_stats_grams(const SafetensorsFile& file, const Model& model, CalibrationStats& stats);

}  // namespace lowkey
