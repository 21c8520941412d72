#pragma once

#include <memory>
#include <utility>

#include "kvcache/plan.h"
#include "model/model_config.h"

namespace lowkey {

/// Keeps the first `rank` coordinates of every value: a plan that loses something.
inline CachePlan lossy_plan(const ModelConfig& config, int64_t rank) {
    CachePlan plan = CachePlan::dense(config.num_layers, config.num_kv_heads);
    Tensor encode = Tensor::zeros(DType::kF32, {config.head_dim, rank});
    Tensor decode = Tensor::zeros(DType::kF32, {rank, config.head_dim});
    for (int64_t i = 0; i < rank; ++i) {
        encode.f32()[static_cast<size_t>(i * rank + i)] = 1;
        decode.f32()[static_cast<size_t>(i * config.head_dim + i)] = 1;
    }
    CodecSpec codec;
    codec.map.name = "linear";
    codec.map.tensors["encode"] = std::make_shared<const Tensor>(std::move(encode));
    codec.map.tensors["decode"] = std::make_shared<const Tensor>(std::move(decode));
    for (auto& layer : plan.layers) {
        for (HeadPlan& head : layer) head.value = codec;
    }
    return plan;
}

}  // namespace lowkey
