#include "io/random_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "io/json_reader.h"

namespace lowkey {
namespace {

constexpr int64_t kBlockElements = 1 << 16;

/// The i-th number of a sequence of random bits (SplitMix64), which threads may enter anywhere.
uint64_t random_bits(uint64_t seed, uint64_t i) {
    uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/// A bf16 number of random sign, and of magnitude [1, 4) · 2^e for the bits of 2^e in `smallest`:
/// cheap enough to make weights about as fast as memory takes them.
uint16_t random_bf16(uint64_t bits, uint32_t smallest) {
    return static_cast<uint16_t>((bits & 0x8000u) | (smallest + (bits & 0xffu)));
}

/// The bits of the bf16 number 2^e for which random_bf16()'s root mean square, 2.4 · 2^e, is
/// nearest to 1 / sqrt(in).
uint32_t smallest_magnitude(int64_t in) {
    constexpr double kRootMeanSquare = 2.415;
    constexpr double kExponentBias = 127;
    const double exponent = -std::log2(kRootMeanSquare * std::sqrt(static_cast<double>(in)));
    return static_cast<uint32_t>(std::lround(exponent + kExponentBias)) << 7;
}

void fill_matrix(Tensor& tensor, uint64_t seed) {
    const uint32_t smallest = smallest_magnitude(tensor.dim(1));
    const int64_t blocks = (tensor.size() + kBlockElements - 1) / kBlockElements;
    parallel_for(blocks, [&](int64_t block) {
        const int64_t end = std::min(tensor.size(), (block + 1) * kBlockElements);
        // Four numbers of 64 random bits.
        for (int64_t i = block * kBlockElements; i < end; i += 4) {
            uint64_t bits = random_bits(seed, static_cast<uint64_t>(i));
            for (int64_t j = i; j < std::min(i + 4, end); ++j, bits >>= 16) {
                const BF16 x{random_bf16(bits, smallest)};
                if (tensor.dtype() == DType::kBF16) {
                    tensor.as<BF16>()[static_cast<size_t>(j)] = x;
                } else {
                    tensor.f32()[static_cast<size_t>(j)] = to_f32(x);
                }
            }
        }
    });
}

void fill_vector(Tensor& tensor, float value) {
    for (int64_t i = 0; i < tensor.size(); ++i) {
        if (tensor.dtype() == DType::kBF16) {
            tensor.as<BF16>()[static_cast<size_t>(i)] = to_bf16(value);
        } else {
            tensor.f32()[static_cast<size_t>(i)] = value;
        }
    }
}

}  // namespace

RandomCheckpoint::RandomCheckpoint(std::string config_path, DType dtype, uint64_t seed)
    : config_path_(std::move(config_path)),
      directory_(std::filesystem::path(config_path_).parent_path().string()),
      dtype_(dtype),
      seed_(seed),
      config_(read_json_file(config_path_)) {
    LOWKEY_CHECK(dtype == DType::kBF16 || dtype == DType::kF32);
    Hasher hasher;
    hasher.add("random " + std::to_string(seed) + " " + std::string(dtype_name(dtype)) + " ");
    hasher.add(config_.dump());
    fingerprint_ = hasher.hex();
}

TensorView RandomCheckpoint::tensor(const std::string& name, const Shape& shape) const {
    {
        const std::lock_guard lock(mutex_);
        const auto found = kept_.find(name);
        if (found != kept_.end()) return found->second.view();
    }
    Tensor made = make_tensor(name, shape);
    const std::lock_guard lock(mutex_);
    return kept_.emplace(name, std::move(made)).first->second.view();
}

Tensor RandomCheckpoint::make_tensor(const std::string& name, const Shape& shape) const {
    LOWKEY_CHECK(shape.size() == 1 || shape.size() == 2);
    Tensor tensor(dtype_, shape);
    {
        const std::lock_guard lock(mutex_);
        sizes_[name] = tensor.size();
    }
    if (shape.size() == 1) {
        fill_vector(tensor, name.ends_with(".bias") ? 0.0f : 1.0f);
        return tensor;
    }
    Hasher hasher;
    hasher.add(name);
    fill_matrix(tensor, seed_ ^ std::stoull(hasher.hex().substr(0, 16), nullptr, 16));
    return tensor;
}

int64_t RandomCheckpoint::num_parameters() const {
    const std::lock_guard lock(mutex_);
    int64_t count = 0;
    for (const auto& [name, size] : sizes_) count += size;
    return count;
}

}  // namespace lowkey
