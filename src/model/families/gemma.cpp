#include "model/families/gemma.h"

#include <cmath>
#include <optional>

#include "base/error.h"
#include "model/families/llama.h"

namespace lowkey {
namespace {

void refuse_bidirectional(const JsonReader& config) {
    if (config.boolean_or("use_bidirectional_attention", false)) {
        throw UnsupportedError("attention in both directions is not supported", config.file(),
                               "use a causal language model");
    }
}

/// What all Gemmas share.
ModelConfig read_gemma_config(const JsonReader& config, const LlamaDefaults& given) {
    refuse_bidirectional(config);
    LlamaDefaults defaults = given;
    defaults.head_dim = 256;
    defaults.tie_word_embeddings = true;
    ModelConfig c = read_llama_config(config, defaults);
    c.mlp_bias = false;
    // The first checkpoints say "gelu" and mean this.
    c.activation = Activation::kGeluTanh;
    c.norm_weight_offset = 1;
    c.embedding_scale = std::sqrt(static_cast<double>(c.hidden_size));
    return c;
}

/// What Gemma 2 and 3 add.
void read_gemma2_keys(const JsonReader& config, double attention_softcap, double logits_softcap,
                      ModelConfig& c) {
    if (const auto activation = config.find("hidden_activation"); activation)
        c.activation = read_activation(*activation);
    const JsonReader scalar = config.at("query_pre_attn_scalar");
    if (!(scalar.number() > 0)) scalar.fail(std::to_string(scalar.number()) + " is not above 0");
    c.softmax_scale = 1 / std::sqrt(scalar.number());
    c.attention_softcap = read_switch(config, "attn_logit_softcapping", attention_softcap);
    c.logits_softcap = read_switch(config, "final_logit_softcapping", logits_softcap);
    c.norm_places.output = true;
}

/// Windows on all but every `period`-th layer.
std::vector<int64_t> read_gemma_windows(const JsonReader& config, int64_t num_layers,
                                        int64_t period) {
    std::vector<bool> slides;
    for (int64_t layer = 0; layer < num_layers; ++layer)
        slides.push_back((layer + 1) % period != 0);
    return read_sliding_windows(config, read_sliding_window(config, 4096), slides);
}

ModelConfig read_gemma1(const JsonReader& config) {
    return read_gemma_config(config, {.num_kv_heads = 16, .max_position_embeddings = 8192});
}

ModelConfig read_gemma2(const JsonReader& config) {
    ModelConfig c = read_gemma_config(config, {.num_kv_heads = 4, .max_position_embeddings = 8192});
    read_gemma2_keys(config, 50, 30, c);
    c.sliding_windows = read_gemma_windows(config, c.num_layers, 2);
    return c;
}

ModelConfig read_gemma3(const JsonReader& config) {
    ModelConfig c = read_gemma_config(
        config, {.num_kv_heads = 4, .max_position_embeddings = 131072, .rope = {.theta = 1000000}});
    read_gemma2_keys(config, 0, 0, c);
    c.qk_norm = true;
    const int64_t period = config.integer_or("sliding_window_pattern", 6, 1, kMaxModelSize);
    c.sliding_windows = read_gemma_windows(config, c.num_layers, period);
    // Newer files nest the two kinds of layers in rope_parameters; older ones scale the full layers
    // only.
    RopeDefaults local{.theta = config.number_or("rope_local_base_freq", 10000)};
    std::optional<JsonReader> local_parameters;
    const auto nested = config.find("rope_parameters");
    if (nested && (nested->has("full_attention") || nested->has("sliding_attention"))) {
        c.rope = read_rope_parameters(config, nested->find("full_attention"), c.head_dim,
                                      c.max_position_embeddings,
                                      {.theta = config.number_or("rope_theta", 1000000)});
        local_parameters = nested->find("sliding_attention");
    }
    c.local_rope = read_rope_parameters(config, local_parameters, c.head_dim,
                                        c.max_position_embeddings, local);
    return c;
}

TensorNames gemma2_names() {
    TensorNames names;
    names.attention_output_norm = "layers.{}.post_attention_layernorm";
    names.mlp_norm = "layers.{}.pre_feedforward_layernorm";
    names.mlp_output_norm = "layers.{}.post_feedforward_layernorm";
    return names;
}

}  // namespace

Family gemma_family() { return {"gemma", read_gemma1, {}}; }

Family gemma2_family() { return {"gemma2", read_gemma2, gemma2_names()}; }

Family gemma3_text_family() { return {"gemma3_text", read_gemma3, gemma2_names()}; }

Family gemma3_family() {
    TensorNames names = gemma2_names();
    names.prefixes = {"language_model.model.", "model.language_model."};
    return {"gemma3",
            [](const JsonReader& config) { return read_gemma3(config.at("text_config")); }, names};
}

}  // namespace lowkey
