#include "model/families/llama.h"

#include <algorithm>

namespace lowkey {

ModelConfig read_llama_config(const JsonReader& config, const LlamaDefaults& defaults) {
    ModelConfig c;
    c.num_layers = config.at("num_hidden_layers").integer(1, 4096);
    c.num_heads = config.at("num_attention_heads").integer(1, 65536);
    c.num_kv_heads = config.integer_or(
        "num_key_value_heads",
        defaults.num_kv_heads > 0 ? std::min(defaults.num_kv_heads, c.num_heads) : c.num_heads, 1,
        c.num_heads);
    c.hidden_size = config.at("hidden_size").integer(1, kMaxModelSize);
    c.head_dim = config.integer_or(
        "head_dim", defaults.head_dim > 0 ? defaults.head_dim : c.hidden_size / c.num_heads, 1,
        65536);
    c.embedding_size = c.hidden_size;
    c.intermediate_size = config.at("intermediate_size").integer(1, kMaxModelSize);
    c.vocab_size = config.at("vocab_size").integer(1, kMaxModelSize);
    c.max_position_embeddings = config.integer_or(
        "max_position_embeddings", defaults.max_position_embeddings, 1, kMaxModelSize);
    c.norm_eps = config.number_or("rms_norm_eps", defaults.norm_eps);
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
