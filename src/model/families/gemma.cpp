#include "model/families/gemma.h"

#include <cmath>
#include <nlohmann/json.hpp>
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
    c.norm_weight_offset = 1;
    c.embedding_scale = std::sqrt(static_cast<double>(c.hidden_size));
    return c;
}

/// What Gemma 2 and 3 add.
void read_gemma2_keys(const JsonReader& config, double attention_softcap, double logits_softcap,
                      ModelConfig& c) {
    // hidden_act, which older files have as well, does not count.
    c.activation = Activation::kGeluTanh;
    if (const auto activation = config.find("hidden_activation"); activation)
        c.activation = read_activation(*activation);
    const double scalar = config.number_or("query_pre_attn_scalar", 256);
    if (!(scalar > 0)) {
        config.at("query_pre_attn_scalar").fail(std::to_string(scalar) + " is not above 0");
    }
    c.softmax_scale = 1 / std::sqrt(scalar);
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
    ModelConfig c =
        read_gemma_config(config, {.num_kv_heads = 16, .max_position_embeddings = 8192});
    // The first checkpoints say "gelu" and mean the other one.
    const std::string activation = config.string_or("hidden_act", "gelu");
    if (activation == "gelu") c.activation = Activation::kGeluTanh;
    return c;
}

ModelConfig read_gemma2(const JsonReader& config) {
    ModelConfig c = read_gemma_config(config, {.num_kv_heads = 4, .max_position_embeddings = 8192});
    read_gemma2_keys(config, 50, 30, c);
    c.sliding_windows = read_gemma_windows(config, c.num_layers, 2);
    return c;
}

/// The rotary positions of Gemma 3. Newer files nest the two kinds of layers in rope_parameters;
/// older ones scale the full layers only, and so does a rope_scaling beside rope_parameters.
void read_gemma3_rope(const JsonReader& config, ModelConfig& c) {
    const auto nested = find_rope_object(config, "rope_parameters");
    nlohmann::json full = nlohmann::json::object();
    std::optional<JsonReader> local;
    if (nested) {
        for (const auto& [type, parameters] : nested->members()) {
            if (type != "full_attention" && type != "sliding_attention") {
                throw UnsupportedError(
                    "'" + type + "' in rope_parameters, which this family has by type of layer",
                    config.file(), "nest it in full_attention or sliding_attention");
            }
        }
        local = find_rope_object(*nested, "sliding_attention");
        if (const auto own = find_rope_object(*nested, "full_attention"); own) full = own->value();
    }
    if (const auto scaling = find_rope_object(config, "rope_scaling"); scaling)
        full.update(scaling->value());
    c.rope = read_rope_parameters(
        config, JsonReader(full, config.file(), "rope_parameters.full_attention"), c.head_dim,
        c.max_position_embeddings, {.theta = config.number_or("rope_theta", 1000000)});
    c.local_rope = read_rope_parameters(config, local, c.head_dim, c.max_position_embeddings,
                                        {.theta = config.number_or("rope_local_base_freq", 10000)});
}

ModelConfig read_gemma3(const JsonReader& config) {
    // The checkpoints that also see images leave out most of what is as in the family's first.
    ModelConfig c = read_gemma_config(config, {.num_layers = 26,
                                               .num_heads = 8,
                                               .hidden_size = 2304,
                                               .intermediate_size = 9216,
                                               .vocab_size = 262208,
                                               .num_kv_heads = 4,
                                               .max_position_embeddings = 131072,
                                               .reads_rope = false});
    read_gemma2_keys(config, 0, 0, c);
    c.qk_norm = true;
    const int64_t period = config.integer_or("sliding_window_pattern", 6, 1, kMaxModelSize);
    c.sliding_windows = read_gemma_windows(config, c.num_layers, period);
    read_gemma3_rope(config, c);
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
    names.prefixes = {"language_model.model.", "model.language_model.", "model."};
    names.other_parts = {"vision_tower.", "model.vision_tower.", "multi_modal_projector.",
                         "model.multi_modal_projector."};
    return {"gemma3",
            [](const JsonReader& config) { return read_gemma3(config.at("text_config")); }, names};
}

}  // namespace lowkey
