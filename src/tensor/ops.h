#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lowkey {

/// Normalization over the last dimension: x / rms(x) · weight, or (x - mean) / std · weight + bias.
struct Norm {
    enum class Kind { kRms, kLayer };
    Kind kind = Kind::kRms;
    double eps = 1e-5;
    std::vector<float> weight;  ///< [size of a row]
    std::vector<float> bias;    ///< [size of a row], or empty

    /// Whether it normalizes: a norm without weights stands for none at all.
    [[nodiscard]] bool present() const { return !weight.empty(); }
    /// x, y [num_tokens, size of weight] f32, may be the same memory; sums in f64.
    void forward(const float* x, int64_t num_tokens, float* y) const;
};

/// The MLP's nonlinearity.
enum class Activation { kSilu, kRelu, kGelu, kGeluTanh };

/// x[i] = activation(x[i])
void apply_activation(Activation activation, std::span<float> x);
/// gate[i] = activation(gate[i]) · up[i]
void apply_gated_activation(Activation activation, std::span<float> gate,
                            std::span<const float> up);

/// x[i] = softcap · tanh(x[i] / softcap)
void apply_softcap(std::span<float> x, float softcap);
/// x[i] = x[i] brought into [-limit, limit]
void clip(std::span<float> x, float limit);

/// y[i] += x[i]
void add(std::span<float> y, std::span<const float> x);

/// KL divergence Σ p ln(p / q) in nats of two rows of logits, in f64; `p_log_sum_exp` is
/// log_sum_exp(p), 0 when p are log-probabilities.
double kl_divergence(std::span<const float> p, double p_log_sum_exp, std::span<const float> q);

/// log Σ exp(x[i]) in f64.
double log_sum_exp(std::span<const float> x);

}  // namespace lowkey
