#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/coded.h"
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

/// The first `rank` numbers as they are, in codes of 8 bits for about ±6, each second run of
/// `width`.
inline CodecSpec coded(int64_t dim, int64_t rank, int width) {
    CodecSpec spec;
    auto encode = std::make_shared<Tensor>(Tensor::zeros(DType::kF32, {dim, rank}));
    auto decode = std::make_shared<Tensor>(Tensor::zeros(DType::kF32, {rank, dim}));
    auto mean = std::make_shared<Tensor>(Tensor::zeros(DType::kF32, {1, dim}));
    for (int64_t i = 0; i < rank; ++i) {
        encode->f32()[static_cast<size_t>(i * rank + i)] = 1;
        decode->f32()[static_cast<size_t>(i * dim + i)] = 1;
    }
    for (float& x : mean->f32()) x = 0.125f;
    auto widths = std::make_shared<Tensor>(Tensor::zeros(DType::kF32, {1, rank / kRunCoords}));
    auto steps = std::make_shared<Tensor>(Tensor::zeros(DType::kF32, {1, rank}));
    for (int64_t i = 0; i < rank; ++i) {
        const int own = i / kRunCoords % 2 == 0 ? kMaxWidth : width;
        widths->f32()[static_cast<size_t>(i / kRunCoords)] = static_cast<float>(own);
        steps->f32()[static_cast<size_t>(i)] = 1 / coded_sigma(own);
    }
    spec.map = {"linear", {}, {{"encode", encode}, {"decode", decode}, {"mean", mean}}};
    spec.store = {"coded", {{"token_scale", 1.0}}, {{"widths", widths}, {"steps", steps}}};
    return spec;
}

/// The same of keys that are rotated within blocks: `fast` planes within 16 tokens, the others
/// within 64.
inline CodecSpec coded_in_blocks(int64_t dim, int64_t fast, int width) {
    CodecSpec spec = coded(dim, dim, width);
    // Fast planes' coordinates come first.
    Tensor& encode = const_cast<Tensor&>(*spec.map.tensors.at("encode"));
    Tensor& decode = const_cast<Tensor&>(*spec.map.tensors.at("decode"));
    for (Tensor* matrix : {&encode, &decode})
        std::fill(matrix->f32().begin(), matrix->f32().end(), 0.0f);
    int64_t c = 0;
    const auto take = [&](int64_t i) {
        encode.f32()[static_cast<size_t>(i * dim + c)] = 1;
        decode.f32()[static_cast<size_t>(c * dim + i)] = 1;
        ++c;
    };
    for (const auto& [begin, end] : {std::pair<int64_t, int64_t>(0, fast), {fast, dim / 2}}) {
        for (int64_t j = begin; j < end; ++j) take(j);
        for (int64_t j = begin; j < end; ++j) take(j + dim / 2);
    }
    spec.map.settings = {{"space", std::string("in_block")},
                         {"fast_planes", fast},
                         {"fast_span", int64_t{16}},
                         {"fast_coordinates", 2 * fast},
                         {"slow_span", int64_t{64}}};
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
