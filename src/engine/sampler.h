#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "lowkey/generation.h"

namespace lowkey {

/// Chooses tokens; the same seed, logits and tokens give the same choices on every machine whose
/// logits are the same. One thread at a time.
class Sampler {
public:
    /// Throws UsageError for settings out of range.
    explicit Sampler(const SamplingOptions& options);

    /// A token for logits [vocab_size], of which -inf never comes. `tokens` are those so far, for
    /// the penalty. Greedy takes the lowest id among equals. Throws Error when logits are NaN or
    /// +inf, or all -inf.
    int32_t sample(std::span<const float> logits, std::span<const int32_t> tokens);

private:
    struct Candidate {
        int32_t id = 0;
        double weight = 0;  ///< exp((logit - largest) / temperature)
    };
    void penalize(std::span<const int32_t> tokens);
    void keep_top_k();
    void keep_top_p();
    void keep_min_p();
    int32_t draw();

    SamplingOptions options_;
    std::mt19937_64 random_;
    std::vector<float> logits_;
    std::vector<bool> penalized_;
    std::vector<Candidate> candidates_;
};

}  // namespace lowkey
