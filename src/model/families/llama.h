#pragma once

#include "model/family.h"

namespace lowkey {

/// Llama.
Family llama_family();

/// What a descendant of Llama is where its config.json does not say. Sizes of 0 must be said.
struct LlamaDefaults {
    int64_t num_layers = 0;
    int64_t num_heads = 0;
    int64_t hidden_size = 0;
    int64_t intermediate_size = 0;
    int64_t vocab_size = 0;
    int64_t num_kv_heads = 0;  ///< 0: as many as query heads
    int64_t head_dim = 0;      ///< 0: hidden_size / num_attention_heads
    int64_t max_position_embeddings = 2048;
    double norm_eps = 1e-6;
    bool attention_bias = false;
    bool tie_word_embeddings = false;
    RopeDefaults rope = {};
    bool reads_rope = true;  ///< else the family reads its rotary positions itself
};

/// The keys that Llama and its descendants share.
ModelConfig read_llama_config(const JsonReader& config, const LlamaDefaults& defaults = {});

}  // namespace lowkey
