#include "tensor/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace lowkey {
namespace {

/// Llama 3.1: long waves are slowed by `factor`, short ones kept, those between blended.
double llama3_frequency(const RopeConfig& c, double frequency) {
    const auto original = static_cast<double>(c.original_max_position_embeddings);
    const double wavelength = 2 * std::numbers::pi / frequency;
    if (wavelength < original / c.high_freq_factor) return frequency;
    if (wavelength > original / c.low_freq_factor) return frequency / c.factor;
    const double smooth =
        (original / wavelength - c.low_freq_factor) / (c.high_freq_factor - c.low_freq_factor);
    return (1 - smooth) * frequency / c.factor + smooth * frequency;
}

/// YaRN (arXiv 2309.00071, section 3.2): the pair that makes `rotations` turns within the original
/// context.
double yarn_pair(const RopeConfig& c, double rotations) {
    const auto original = static_cast<double>(c.original_max_position_embeddings);
    return static_cast<double>(c.rotary_dim) *
           std::log(original / (rotations * 2 * std::numbers::pi)) / (2 * std::log(c.theta));
}

void scale_yarn(const RopeConfig& c, std::vector<double>& frequencies) {
    double low = yarn_pair(c, c.beta_fast);
    double high = yarn_pair(c, c.beta_slow);
    if (c.truncate) {
        low = std::floor(low);
        high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, static_cast<double>(c.rotary_dim - 1));
    if (low == high) high += 0.001;
    for (size_t j = 0; j < frequencies.size(); ++j) {
        const double ramp = std::clamp((static_cast<double>(j) - low) / (high - low), 0.0, 1.0);
        frequencies[j] = frequencies[j] / c.factor * ramp + frequencies[j] * (1 - ramp);
    }
}

/// Dynamic NTK: the base grows with the sequence, so that its slowest wave spans the sequence.
double dynamic_theta(const RopeConfig& c, int64_t length) {
    const auto original = static_cast<double>(c.original_max_position_embeddings);
    const auto dim = static_cast<double>(c.rotary_dim);
    const double longer = std::max(1.0, static_cast<double>(length) / original);
    return c.theta * std::pow(c.factor * longer - (c.factor - 1), dim / (dim - 2));
}

/// Cosines and sines of one position, in f64.
void compute_angles(const std::vector<double>& frequencies, int64_t pos, double attention_factor,
                    float* cos, float* sin) {
    for (size_t j = 0; j < frequencies.size(); ++j) {
        const double angle = static_cast<double>(pos) * frequencies[j];
        cos[j] = static_cast<float>(std::cos(angle) * attention_factor);
        sin[j] = static_cast<float>(std::sin(angle) * attention_factor);
    }
}

}  // namespace

std::vector<double> rope_frequencies(const RopeConfig& config, int64_t length) {
    const bool dynamic = config.scaling == RopeConfig::Scaling::kDynamic;
    const double theta = dynamic ? dynamic_theta(config, length) : config.theta;
    std::vector<double> frequencies(static_cast<size_t>(config.rotary_dim / 2));
    for (size_t j = 0; j < frequencies.size(); ++j) {
        frequencies[j] =
            std::pow(theta, -2.0 * static_cast<double>(j) / static_cast<double>(config.rotary_dim));
    }
    switch (config.scaling) {
        case RopeConfig::Scaling::kNone:
        case RopeConfig::Scaling::kDynamic:
            break;
        case RopeConfig::Scaling::kLinear:
            for (double& f : frequencies) f /= config.factor;
            break;
        case RopeConfig::Scaling::kLlama3:
            for (double& f : frequencies) f = llama3_frequency(config, f);
            break;
        case RopeConfig::Scaling::kYarn:
            scale_yarn(config, frequencies);
            break;
        case RopeConfig::Scaling::kLongRope: {
            const bool beyond = length > config.original_max_position_embeddings;
            const auto& factors = beyond ? config.long_factors : config.short_factors;
            for (size_t j = 0; j < frequencies.size(); ++j) frequencies[j] /= factors[j];
            break;
        }
    }
    return frequencies;
}

RotaryTable::RotaryTable(const RopeConfig& config, int64_t num_positions)
    : config_(config), num_positions_(num_positions), frequencies_(rope_frequencies(config)) {
    LOWKEY_CHECK(config.rotary_dim > 0 && config.rotary_dim % 2 == 0);
    blocks_ = std::make_unique<std::atomic<const float*>[]>(static_cast<size_t>(num_blocks()));
}

RotaryTable::~RotaryTable() {
    for (int64_t i = 0; i < num_blocks(); ++i) delete[] blocks_[static_cast<size_t>(i)].load();
}

const float* RotaryTable::make_block(int64_t index) const {
    const int64_t pairs = num_pairs();
    auto made = std::make_unique<float[]>(static_cast<size_t>(2 * kBlockPositions * pairs));
    float* cos = made.get();
    float* sin = cos + kBlockPositions * pairs;
    for (int64_t p = 0; p < kBlockPositions; ++p) {
        compute_angles(frequencies_, index * kBlockPositions + p, config_.attention_factor,
                       cos + p * pairs, sin + p * pairs);
    }
    // Threads that come at once make the same numbers; the first to be done gives its block.
    std::atomic<const float*>& place = blocks_[static_cast<size_t>(index)];
    const float* other = nullptr;
    if (!place.compare_exchange_strong(other, made.get(), std::memory_order_acq_rel)) return other;
    return made.release();
}

int64_t RotaryTable::positions_made() const {
    int64_t made = 0;
    for (int64_t i = 0; i < num_blocks(); ++i) {
        if (blocks_[static_cast<size_t>(i)].load(std::memory_order_acquire) != nullptr)
            made += kBlockPositions;
    }
    return std::min(made, num_positions_);
}

bool RotaryTable::depends_on_length() const {
    return (config_.scaling == RopeConfig::Scaling::kDynamic ||
            config_.scaling == RopeConfig::Scaling::kLongRope) &&
           num_positions_ > config_.original_max_position_embeddings;
}

RotaryAngles RotaryTable::angles(int64_t pos, int64_t length, std::vector<float>& scratch) const {
    LOWKEY_DCHECK(pos >= 0 && pos < num_positions_);
    if (!depends_on_length() || length <= config_.original_max_position_embeddings)
        return {cos(pos), sin(pos)};
    scratch.resize(static_cast<size_t>(2 * num_pairs()));
    float* sines = scratch.data() + num_pairs();
    compute_angles(rope_frequencies(config_, length), pos, config_.attention_factor, scratch.data(),
                   sines);
    return {scratch.data(), sines};
}

void RotaryTable::rotate(float* x, const RotaryAngles& angles) const {
    const float* c = angles.cos;
    const float* s = angles.sin;
    const int64_t step = pair_step();
    const int64_t offset = pair_offset();
    for (int64_t j = 0; j < num_pairs(); ++j) {
        float& a = x[j * step];
        float& b = x[j * step + offset];
        const float rotated = a * c[j] - b * s[j];
        b = b * c[j] + a * s[j];
        a = rotated;
    }
}

void RotaryTable::rotate_back(float* x, int64_t pos) const {
    LOWKEY_DCHECK(pos >= 0 && pos < num_positions_);
    const float* c = cos(pos);
    const float* s = sin(pos);
    const int64_t step = pair_step();
    const int64_t offset = pair_offset();
    for (int64_t j = 0; j < num_pairs(); ++j) {
        float& a = x[j * step];
        float& b = x[j * step + offset];
        const float rotated = a * c[j] + b * s[j];
        b = b * c[j] - a * s[j];
        a = rotated;
    }
}

}  // namespace lowkey
