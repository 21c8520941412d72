#include "model/families/glm.h"

#include "model/families/llama.h"

namespace lowkey {
namespace {

ModelConfig read_glm_config(const JsonReader& config) {
    ModelConfig c =
        read_llama_config(config, {.num_kv_heads = 2,
                                   .head_dim = 128,
                                   .max_position_embeddings = 131072,
                                   .norm_eps = 1.5625e-7,
                                   .attention_bias = true,
                                   .rope = {.rotary_share = 0.5, .may_be_partial = true}});
    c.o_bias = c.mlp_bias = false;
    c.rope.pairs = RopeConfig::Pairs::kInterleaved;
    return c;
}

ModelConfig read_glm4_config(const JsonReader& config) {
    ModelConfig c = read_glm_config(config);
    c.norm_places.output = true;
    return c;
}

TensorNames glm_names() {
    TensorNames names;
    names.gate_up = "layers.{}.mlp.gate_up_proj";
    return names;
}

}  // namespace

Family glm_family() { return {"glm", read_glm_config, glm_names()}; }

Family glm4_family() {
    TensorNames names = glm_names();
    names.attention_output_norm = "layers.{}.post_self_attn_layernorm";
    names.mlp_output_norm = "layers.{}.post_mlp_layernorm";
    return {"glm4", read_glm4_config, names};
}

}  // namespace lowkey
