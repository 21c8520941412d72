#include "model/families/mistral.h"

#include "model/families/llama.h"

namespace lowkey {
namespace {

ModelConfig read_config(const JsonReader& config) {
    ModelConfig c =
        read_llama_config(config, {.num_kv_heads = 8, .max_position_embeddings = 131072});
    c.qkv_bias = c.o_bias = c.mlp_bias = false;
    // Later checkpoints say null: no window. Those that say nothing have the first one's.
    c.sliding_windows.assign(static_cast<size_t>(c.num_layers), read_sliding_window(config, 4096));
    return c;
}

}  // namespace

Family mistral_family() { return {"mistral", read_config, {}}; }

}  // namespace lowkey
