#pragma once

#include <memory>
#include <string>

#include "io/random_checkpoint.h"
#include "model/model.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {

/// A small model of random weights whose prompts of some hundred tokens take several pages a head.
class RandomModel : public TemporaryFolder {
protected:
    std::string config_ = file("config.json", R"({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 100,
        "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 4096})");

    [[nodiscard]] std::shared_ptr<const Model> model(uint64_t seed = 0,
                                                     DType dtype = DType::kBF16) const {
        return Model::load(std::make_shared<const RandomCheckpoint>(config_, dtype, seed),
                           {dtype, 0});
    }
};

}  // namespace lowkey
