#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kvcache/cache_layout.h"

namespace lowkey::test {

inline std::vector<float> random_floats(int64_t n, unsigned seed) {
    std::mt19937 rng(seed);
    std::normal_distribution<float> normal;
    std::vector<float> x(static_cast<size_t>(n));
    for (float& v : x) v = normal(rng);
    return x;
}

inline std::shared_ptr<const Tensor> random_matrix(int64_t rows, int64_t cols, unsigned seed) {
    auto tensor = std::make_shared<Tensor>(DType::kF32, Shape{rows, cols});
    const std::vector<float> values = random_floats(rows * cols, seed);
    std::copy(values.begin(), values.end(), tensor->f32().begin());
    return tensor;
}

inline CodecSpec low_rank(int64_t dim, int64_t rank, unsigned seed, const std::string& space = "") {
    CodecSpec spec;
    spec.map = {"linear",
                {},
                {{"encode", random_matrix(dim, rank, seed)},
                 {"decode", random_matrix(rank, dim, seed + 1)}}};
    if (!space.empty()) spec.map.settings["space"] = space;
    return spec;
}

inline std::shared_ptr<const RotaryTable> rotary(int64_t dim, int64_t positions = 4096) {
    RopeConfig config;
    config.rotary_dim = dim;
    return std::make_shared<const RotaryTable>(config, positions);
}

/// One layer of `heads` heads.
inline CacheShape shape(int64_t heads, int64_t dim, DType dtype,
                        std::shared_ptr<const RotaryTable> table = nullptr) {
    CacheShape out;
    out.head_dim = dim;
    out.dtype = dtype;
    out.layers.emplace_back(static_cast<size_t>(heads),
                            CacheShape::Head{dim, dim, 0, std::move(table)});
    return out;
}

}  // namespace lowkey::test
