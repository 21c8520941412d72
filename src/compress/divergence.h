#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/model.h"

namespace lowkey {

/// Next-token distributions of a model at some positions, to measure how far others are from them.
class ReferenceDistributions {
public:
    /// Of every `stride`-th row of `hidden` [num_tokens, hidden_size], the last layer's output.
    ReferenceDistributions(const Model& model, const Tensor& hidden, int64_t stride);

    /// Mean over the rows of the Kullback-Leibler divergence Σ p ln(p / q), p of the reference, q
    /// of `hidden`, in nats.
    [[nodiscard]] double mean_kl(const Tensor& hidden) const;

private:
    template <typename Fn>
    void for_rows(const Tensor& hidden, Fn&& fn) const;

    const Model& model_;
    int64_t stride_;
    std::vector<float> log_probs_;  // [rows, vocab_size]
};

/// Mean negative log-likelihood in nats of every sequence's tokens after its first, from the last
/// layer's output of all tokens [tokens of all sequences, hidden_size].
double mean_nll(const Model& model, const Tensor& hidden,
                const std::vector<std::vector<int32_t>>& sequences);

}  // namespace lowkey
