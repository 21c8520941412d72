#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lowkey/export.h"
#include "lowkey/model.h"

namespace lowkey::api {

/// How sequences for calibration are made.
struct CalibrationOptions {
    int64_t sequences = 128;
    int64_t length = 2048;  ///< tokens of each
    /// Of text: 0 takes sequences at even distances, else they are shifted at random. Of the model
    /// itself: the seed of its sampling.
    uint64_t seed = 0;
    /// Tokens at the start of each sequence whose statistics are kept apart: attention sinks are
    /// unlike all others.
    int64_t first_tokens = 4;
};

/// What planners learn about a model from sequences of tokens: Gram matrices Σ xᵀx of the vectors
/// that each KV head sees, summed in f64. Immutable and thread-safe; copies share the numbers.
/// Source: Eigen Attention (arXiv 2408.05646), section 3.1, whose SVDs these Grams replace.
class LOWKEY_API Statistics {
public:
    /// Of sequences cut from a text. All sequences run through the uncompressed model. Throws
    /// UsageError when the text is shorter than one sequence or sequences do not fit the context.
    static Statistics from_text(const Model& model, std::string_view text,
                                const CalibrationOptions& options = {});
    /// Of sequences that the model itself writes at temperature 1: for want of text. Throws
    /// UsageError.
    static Statistics from_model(const Model& model, const CalibrationOptions& options = {});
    /// Of these sequences of token ids, all of one length. Throws UsageError.
    static Statistics from_tokens(const Model& model,
                                  const std::vector<std::vector<int32_t>>& sequences,
                                  int64_t first_tokens = 4);

    /// Reads a file of save() or `lowkey calibrate`. Throws FileError for what is no such file,
    /// UsageError when it is of another model.
    static Statistics load(const std::string& path, const Model& model);
    /// Writes a safetensors file, whole or not at all. Throws FileError.
    void save(const std::string& path) const;

    [[nodiscard]] int64_t num_tokens() const;  ///< of all sequences
    [[nodiscard]] int64_t length() const;      ///< tokens of a sequence
    /// What gram() knows: "K", "Q", "V" (after projection and bias, before rotation), "O"
    /// (attention's output), "K_attended", "Q_attended" (weighted by what the pair contributes to
    /// the layer's output), and with rotary positions "K_rot", "Q_rot".
    [[nodiscard]] std::vector<std::string> kinds() const;
    /// The Gram matrix [head_dim, head_dim] f64, row-major, of all tokens but each sequence's first
    /// ones; of queries and outputs, the sum over the query heads of the KV head. Valid as long as
    /// these statistics or a copy. Throws UsageError for a kind or a head that is not there.
    [[nodiscard]] std::span<const double> gram(const std::string& kind, int64_t layer,
                                               int64_t kv_head) const;

    struct Impl;

private:
    friend struct Access;
    explicit Statistics(std::shared_ptr<const Impl> impl);
    std::shared_ptr<const Impl> impl_;
};

/// How much KV heads look for tokens that stood before, [num_layers][num_kv_heads], from 0 to 1: of
/// each KV head's query heads the highest.
struct RetrievalScores {
    std::vector<std::vector<double>> echo;       ///< attention to earlier occurrences of a token
    std::vector<std::vector<double>> induction;  ///< and to what followed those
};

/// What is repeated to find out.
struct RetrievalOptions {
    int64_t random_tokens =
        2500;  ///< different ones; fewer where the context or vocabulary is small
    int64_t repeats = 4;
    uint64_t seed = 0;
    std::vector<int32_t> ids = {};  ///< these instead of random ones, where there are any
};

/// Runs random tokens, several times over, through the uncompressed model and scores its heads.
/// Throws UsageError for options out of range and for more tokens than the context holds.
/// Source: RazorAttention (arXiv 2407.15891), section 3.2.
LOWKEY_API RetrievalScores score_retrieval(const Model& model,
                                           const RetrievalOptions& options = {});

}  // namespace lowkey::api
