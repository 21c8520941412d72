#include "model/families/llama.h"

#include <algorithm>

namespace lowkey {
namespace {

int64_t read_size(const JsonReader& config, const std::string& key, int64_t fallback,
                  int64_t high = kMaxModelSize) {
    return fallback > 0 ? config.integer_or(key, fallback, 1, high)
                        : config.at(key).integer(1, high);
}

/// Of a null, the value that a family's absent key has does not hold.
int64_t fallback_or(const JsonReader& config, const std::string& key, int64_t fallback,
                    int64_t if_null) {
    return fallback > 0 && !is_null(config, key) ? fallback : if_null;
}

}  // namespace

ModelConfig read_llama_config(const JsonReader& config, const LlamaDefaults& defaults) {
    ModelConfig c;
    c.num_layers = read_size(config, "num_hidden_layers", defaults.num_layers, 4096);
    c.num_heads = read_size(config, "num_attention_heads", defaults.num_heads, 65536);
    const int64_t kv_heads =
        fallback_or(config, "num_key_value_heads", defaults.num_kv_heads, c.num_heads);
    c.num_kv_heads =
        config.integer_or("num_key_value_heads", std::min(kv_heads, c.num_heads), 1, c.num_heads);
    c.hidden_size = read_size(config, "hidden_size", defaults.hidden_size);
    c.head_dim = config.integer_or(
        "head_dim", fallback_or(config, "head_dim", defaults.head_dim, c.hidden_size / c.num_heads),
        1, 65536);
    c.embedding_size = c.hidden_size;
    c.intermediate_size = read_size(config, "intermediate_size", defaults.intermediate_size);
    c.vocab_size = read_size(config, "vocab_size", defaults.vocab_size);
    c.max_position_embeddings = config.integer_or(
        "max_position_embeddings", defaults.max_position_embeddings, 1, kMaxModelSize);
    c.norm_eps = read_norm_eps(config, "rms_norm_eps", defaults.norm_eps);
    if (defaults.reads_rope)
        c.rope = read_rope(config, c.head_dim, c.max_position_embeddings, defaults.rope);
    if (const auto activation = config.find("hidden_act"); activation)
        c.activation = read_activation(*activation);
    c.qkv_bias = c.o_bias = config.boolean_or("attention_bias", defaults.attention_bias);
    c.mlp_bias = config.boolean_or("mlp_bias", false);
    c.tie_word_embeddings = config.boolean_or("tie_word_embeddings", defaults.tie_word_embeddings);
    return c;
}

Family llama_family() {
    return {"llama", [](const JsonReader& config) { return read_llama_config(config); }, {}};
}

}  // namespace lowkey
