#pragma once

#include <string>
#include <vector>

#include "io/json_reader.h"
#include "model/model_config.h"

namespace lowkey {

/// Where a family's checkpoint keeps its tensors. "{}" stands for the layer. Weights end in
/// ".weight", biases in ".bias"; a name that is empty is not there.
struct TensorNames {
    /// Beginnings that published checkpoints of the family use, tried in order; then none at all,
    /// as checkpoints of the model without its head are saved.
    std::vector<std::string> prefixes = {"model."};
    /// Beginnings of tensors of parts that are not used (what sees images).
    std::vector<std::string> other_parts;
    std::string embedding = "embed_tokens";
    std::string position_embedding;
    std::string project_in;
    std::string project_out;
    std::string final_norm = "norm";
    std::string lm_head = "lm_head";  ///< beside "model.", not in it

    // A block's norm is before or after it; its output norm is one more.
    std::string attention_norm = "layers.{}.input_layernorm";
    std::string attention_output_norm;
    std::string qkv;  ///< rows of q, k and v, one after another in one tensor, instead of the three
    std::string q = "layers.{}.self_attn.q_proj";
    std::string k = "layers.{}.self_attn.k_proj";
    std::string v = "layers.{}.self_attn.v_proj";
    std::string o = "layers.{}.self_attn.o_proj";
    std::string q_norm = "layers.{}.self_attn.q_norm";
    std::string k_norm = "layers.{}.self_attn.k_norm";
    std::string mlp_norm = "layers.{}.post_attention_layernorm";
    std::string mlp_output_norm;
    std::string gate_up;  ///< rows of gate and up in one tensor, instead of the two
    std::string gate = "layers.{}.mlp.gate_proj";
    std::string up = "layers.{}.mlp.up_proj";
    std::string down = "layers.{}.mlp.down_proj";
};

/// A family of models is a table: how its config.json maps onto ModelConfig, and its tensors'
/// names.
struct Family {
    std::string model_type;
    ModelConfig (*read_config)(const JsonReader& config);
    TensorNames names;
};

/// Throws UnsupportedError, naming the families that are known, for any other.
const Family& find_family(const std::string& model_type, const std::string& path);

}  // namespace lowkey
