#include "model/families/phi3.h"

#include "base/error.h"
#include "model/families/llama.h"

namespace lowkey {
namespace {

ModelConfig read_config(const JsonReader& config) {
    ModelConfig c = read_llama_config(
        config, {.max_position_embeddings = 4096,
                 .norm_eps = 1e-5,
                 .rope = {.may_be_partial = true, .original_max_position_embeddings = 4096}});
    if (c.rope.scaling != RopeConfig::Scaling::kNone &&
        c.rope.scaling != RopeConfig::Scaling::kLongRope) {
        throw UnsupportedError("a RoPE scaling other than longrope is not known for this family",
                               config.file(), "give short_factor and long_factor");
    }
    c.qkv_bias = c.o_bias = c.mlp_bias = false;
    c.sliding_windows.assign(static_cast<size_t>(c.num_layers), read_sliding_window(config, 0));
    return c;
}

}  // namespace

Family phi3_family() {
    TensorNames names;
    names.qkv = "layers.{}.self_attn.qkv_proj";
    names.gate_up = "layers.{}.mlp.gate_up_proj";
    return {"phi3", read_config, names};
}

}  // namespace lowkey
