#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lowkey {

/// How rotary position embedding turns a position into angles. Source: RoFormer (arXiv 2104.09864);
/// scalings as in the published configurations of the models that use them.
struct RopeConfig {
    enum class Scaling { kNone, kLinear, kLlama3, kYarn };
    /// Which coordinates of a head form pair j of rotary_dim / 2: (j, j + rotary_dim / 2), or (2j,
    /// 2j + 1).
    enum class Pairs { kHalves, kInterleaved };

    double theta = 10000;
    int64_t rotary_dim = 0;  ///< coordinates that rotate, from the first; even
    Pairs pairs = Pairs::kHalves;
    Scaling scaling = Scaling::kNone;
    double factor = 1;                                ///< of every scaling
    double low_freq_factor = 1;                       ///< llama3
    double high_freq_factor = 4;                      ///< llama3
    int64_t original_max_position_embeddings = 8192;  ///< llama3, yarn
    double beta_fast = 32;                            ///< yarn
    double beta_slow = 1;                             ///< yarn
    double attention_factor = 1;                      ///< yarn: cos and sin are multiplied by it
    bool truncate = true;  ///< yarn: whole numbers bound the blended range

    bool operator==(const RopeConfig&) const = default;
};

/// Frequencies of all rotary pairs [rotary_dim / 2], in radians per position.
std::vector<double> rope_frequencies(const RopeConfig& config);

/// Cosines and sines of all positions below `num_positions`, computed in f64, kept in f32.
/// Immutable.
class RotaryTable {
public:
    RotaryTable(const RopeConfig& config, int64_t num_positions);

    [[nodiscard]] const RopeConfig& config() const { return config_; }
    [[nodiscard]] int64_t num_positions() const { return num_positions_; }
    [[nodiscard]] int64_t num_pairs() const { return config_.rotary_dim / 2; }
    /// [num_pairs] of one position.
    [[nodiscard]] const float* cos(int64_t pos) const { return cos_.data() + pos * num_pairs(); }
    [[nodiscard]] const float* sin(int64_t pos) const { return sin_.data() + pos * num_pairs(); }
    /// Pair j is coordinates (j * pair_step(), j * pair_step() + pair_offset()).
    [[nodiscard]] int64_t pair_step() const {
        return config_.pairs == RopeConfig::Pairs::kHalves ? 1 : 2;
    }
    [[nodiscard]] int64_t pair_offset() const {
        return config_.pairs == RopeConfig::Pairs::kHalves ? num_pairs() : 1;
    }

    /// Rotates one head's vector in place.
    void rotate(float* x, int64_t pos) const;
    /// Applies the transpose of rotate(): the product of its result with a vector is that of x with
    /// the rotated vector.
    void rotate_back(float* x, int64_t pos) const;

private:
    RopeConfig config_;
    int64_t num_positions_;
    std::vector<float> cos_;
    std::vector<float> sin_;
};

}  // namespace lowkey
