#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

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

/// How to calibrate.
struct CalibrationOptions {
    int64_t first_tokens = 4;
};

/// Runs the sequences, all of one length, through the uncompressed model and sums Grams in f64, in
/// memory that does not depend on the number of sequences. Draws a progress line. Throws UsageError
/// for sequences that are empty, of unequal length or longer than the model's context.
CalibrationStats calibrate(const Model& model, const std::vector<std::vector<int32_t>>& sequences,
                           const CalibrationOptions& options = {});

/// `count` sequences of `length` tokens at even distances in `tokens`; a seed other than 0 shifts
/// each at random. With `bos`, every sequence starts with that token. Throws UsageError when there
/// are fewer than `length` tokens.
std::vector<std::vector<int32_t>> cut_sequences(std::span<const int32_t> tokens, int64_t count,
                                                int64_t length, uint64_t seed,
                                                std::optional<int32_t> bos);

/// `count` sequences of `length` tokens sampled from the model itself at temperature 1, each begun
/// with `start`: calibration for users without text. All sequences advance together. Throws
/// UsageError as calibrate().
std::vector<std::vector<int32_t>> sample_sequences(const Model& model, int64_t count,
                                                   int64_t length, uint64_t seed, int32_t start);

/// A safetensors file: Grams `rest.K`, `first.K`, … and `input_ids` [n_seq, length], settings in
/// the metadata. Throws FileError.
void write_stats(const std::string& path, const CalibrationStats& stats);
/// Reads one and checks that it was made with this model. Throws FileError, or UsageError for
/// another model.
CalibrationStats read_stats(const std::string& path, const Model& model);

}  // namespace lowkey
