#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace lowkey {

/// How the next token is chosen, in this order: repeat_penalty, temperature, top_k, top_p, min_p.
/// Each filter sees the distribution that the ones before it left, renormalized.
/// Source: the order and meaning of transformers' logits processors.
struct SamplingOptions {
    double temperature = 0;  ///< 0: greedy, the filters do not matter
    int64_t top_k = 0;       ///< the k likeliest tokens; 0: all
    double top_p = 1;        ///< the fewest tokens whose probabilities sum to p or more; 1: all
    double min_p = 0;        ///< tokens at least min_p times as likely as the likeliest; 0: all
    /// Logits of tokens that were there before are divided by it when positive, multiplied when
    /// negative; 1: no penalty.
    double repeat_penalty = 1;
    uint64_t seed = 0;
};

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
