#include "model/families/qwen3.h"

#include "model/families/llama.h"
#include "model/families/qwen2.h"

namespace lowkey {
namespace {

ModelConfig read_config(const JsonReader& config) {
    ModelConfig c = read_llama_config(
        config, {.num_kv_heads = 32, .head_dim = 128, .max_position_embeddings = 32768});
    c.mlp_bias = false;
    c.qk_norm = true;
    c.sliding_windows = read_qwen_windows(config, c.num_layers);
    return c;
}

}  // namespace

Family qwen3_family() { return {"qwen3", read_config, {}}; }

}  // namespace lowkey
