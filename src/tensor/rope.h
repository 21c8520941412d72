#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace lowkey {

/// How rotary position embedding turns a position into angles. Source: RoFormer (arXiv 2104.09864);
/// scalings as in the published configurations of the models that use them.
struct RopeConfig {
    enum class Scaling { kNone, kLinear, kLlama3, kYarn, kDynamic, kLongRope };
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
    int64_t original_max_position_embeddings = 8192;  ///< llama3, yarn, dynamic, longrope
    double beta_fast = 32;                            ///< yarn
    double beta_slow = 1;                             ///< yarn
    double attention_factor = 1;        ///< yarn, longrope: cos and sin are multiplied by it
    bool truncate = true;               ///< yarn: whole numbers bound the blended range
    std::vector<double> short_factors;  ///< longrope: [rotary_dim / 2], up to the original context
    std::vector<double> long_factors;   ///< longrope: [rotary_dim / 2], of longer sequences

    bool operator==(const RopeConfig&) const = default;
};

/// Frequencies of all rotary pairs [rotary_dim / 2], in radians per position, in a sequence of
/// `length` tokens; the length matters to scalings `dynamic` and `longrope` only, and there beyond
/// the original context.
std::vector<double> rope_frequencies(const RopeConfig& config, int64_t length = 0);

/// Cosines and sines [num_pairs] of one position.
struct RotaryAngles {
    const float* cos = nullptr;
    const float* sin = nullptr;
};

/// Cosines and sines of positions below `num_positions`, computed in f64, kept in f32. They are
/// made in blocks, as positions are asked for: a long context that is never reached costs nothing.
/// What it gives never changes; thread-safe.
class RotaryTable {
public:
    RotaryTable(const RopeConfig& config, int64_t num_positions);
    ~RotaryTable();
    RotaryTable(const RotaryTable&) = delete;
    RotaryTable& operator=(const RotaryTable&) = delete;

    [[nodiscard]] const RopeConfig& config() const { return config_; }
    [[nodiscard]] int64_t num_positions() const { return num_positions_; }
    [[nodiscard]] int64_t num_pairs() const { return config_.rotary_dim / 2; }
    /// Whether a position's angles depend on how long its sequence is: then cos() and sin() hold up
    /// to the original context only, and angles() takes the length.
    [[nodiscard]] bool depends_on_length() const;
    /// [num_pairs] of one position; valid as long as the table. Throws std::bad_alloc.
    [[nodiscard]] const float* cos(int64_t pos) const {
        return block(pos) + pos % kBlockPositions * num_pairs();
    }
    [[nodiscard]] const float* sin(int64_t pos) const {
        return cos(pos) + kBlockPositions * num_pairs();
    }
    /// Positions whose angles have been made: at most those asked for, in whole blocks.
    [[nodiscard]] int64_t positions_made() const;
    /// Angles of a position in a sequence of `length` tokens; they may lie in `scratch`.
    [[nodiscard]] RotaryAngles angles(int64_t pos, int64_t length,
                                      std::vector<float>& scratch) const;
    /// Pair j is coordinates (j * pair_step(), j * pair_step() + pair_offset()).
    [[nodiscard]] int64_t pair_step() const {
        return config_.pairs == RopeConfig::Pairs::kHalves ? 1 : 2;
    }
    [[nodiscard]] int64_t pair_offset() const {
        return config_.pairs == RopeConfig::Pairs::kHalves ? num_pairs() : 1;
    }

    /// Rotates one head's vector in place.
    void rotate(float* x, const RotaryAngles& angles) const;
    void rotate(float* x, int64_t pos) const { rotate(x, {cos(pos), sin(pos)}); }
    /// Applies the transpose of rotate(): the product of its result with a vector is that of x with
    /// the rotated vector.
    void rotate_back(float* x, int64_t pos) const;

private:
    /// Made within a millisecond, at any head size.
    static constexpr int64_t kBlockPositions = 256;

    /// Cosines [kBlockPositions, num_pairs], then as many sines.
    [[nodiscard]] const float* block(int64_t pos) const {
        const float* made =
            blocks_[static_cast<size_t>(pos / kBlockPositions)].load(std::memory_order_acquire);
        return made != nullptr ? made : make_block(pos / kBlockPositions);
    }
    [[nodiscard]] const float* make_block(int64_t index) const;
    [[nodiscard]] int64_t num_blocks() const {
        return (num_positions_ + kBlockPositions - 1) / kBlockPositions;
    }

    RopeConfig config_;
    int64_t num_positions_;
    std::vector<double> frequencies_;  // up to the original context
    std::unique_ptr<std::atomic<const float*>[]> blocks_;
};

}  // namespace lowkey
