#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"

namespace lowkey {

/// How much the heads of a model look for tokens that stood before. [num_layers][num_heads] each,
/// of query heads. Source: RazorAttention (arXiv 2407.15891), section 3.2.
struct RetrievalScores {
    std::vector<std::vector<double>> echo;       ///< attention to earlier occurrences of the token
    std::vector<std::vector<double>> induction;  ///< and to what followed those
};

/// `count` different token ids below `vocab_size`, drawn at random.
std::vector<int32_t> random_tokens(int64_t count, int64_t vocab_size, uint64_t seed);

/// Runs `prefix` and then `ids`, `repeats` times over, through the uncompressed model. Scores are
/// means over the tokens from the second repetition on. Attention is computed in blocks of rows:
/// memory grows with the length, not its square. Draws a progress line. Throws UsageError when
/// there are no ids, fewer than two repeats, or more tokens than the model's context holds.
RetrievalScores score_retrieval(const Model& model, const std::vector<int32_t>& ids,
                                int64_t repeats, const std::vector<int32_t>& prefix = {});

/// Bounds L_h [num_layers][num_heads] of an ALiBi model: no key farther away gets an attention
/// weight above epsilon. Source: RazorAttention, section 3.1.
enum class AlibiBound {
    kPaper,    ///< as printed, where logits are q · k
    kScaled,   ///< for the models' logits, q · k · softmax_scale
    kRigorous  ///< with the longest output that the norm before attention can have: a proof
};
std::vector<std::vector<double>> alibi_bounds(const Model& model, AlibiBound form, double epsilon);

}  // namespace lowkey
