#pragma once

#include <memory>

#include "fuzz/memory_file.h"
#include "io/random_checkpoint.h"
#include "model/model.h"

namespace lowkey::fuzz {

/// One layer with one KV head of 8 numbers, and random weights.
inline const std::shared_ptr<const Model>& tiny_model() {
    static const std::shared_ptr<const Model> model = [] {
        const MemoryFile config;
        config.fill(R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
            "vocab_size": 16, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
            "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "max_position_embeddings": 256})");
        return Model::load(std::make_shared<const RandomCheckpoint>(config.path(), DType::kF32, 3),
                           {DType::kF32, 256});
    }();
    return model;
}

}  // namespace lowkey::fuzz
