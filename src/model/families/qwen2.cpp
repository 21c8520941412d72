#include "model/families/qwen2.h"

#include "model/families/llama.h"

namespace lowkey {

std::vector<int64_t> read_qwen_windows(const JsonReader& config, int64_t num_layers) {
    const bool used = config.boolean_or("use_sliding_window", false);
    const int64_t first = config.integer_or("max_window_layers", 28, 0, kMaxModelSize);
    std::vector<bool> slides;
    for (int64_t layer = 0; layer < num_layers; ++layer) slides.push_back(layer >= first);
    return read_sliding_windows(config, used ? read_sliding_window(config, 4096) : 0, slides);
}

namespace {

ModelConfig read_config(const JsonReader& config) {
    ModelConfig c =
        read_llama_config(config, {.num_kv_heads = 32, .max_position_embeddings = 32768});
    c.qkv_bias = true;  // no key says so
    c.o_bias = c.mlp_bias = false;
    c.sliding_windows = read_qwen_windows(config, c.num_layers);
    return c;
}

}  // namespace

Family qwen2_family() { return {"qwen2", read_config, {}}; }

}  // namespace lowkey
