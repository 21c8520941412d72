#include "model/families/opt.h"

#include "base/error.h"

namespace lowkey {
namespace {

ModelConfig read_config(const JsonReader& config) {
    ModelConfig c;
    if (!config.boolean_or("layer_norm_elementwise_affine", true)) {
        throw UnsupportedError("\"layer_norm_elementwise_affine\": false is not supported",
                               config.file(), "use a checkpoint without it");
    }
    c.num_layers = config.at("num_hidden_layers").integer(1, 4096);
    c.num_heads = config.at("num_attention_heads").integer(1, 65536);
    c.num_kv_heads = c.num_heads;
    c.hidden_size = config.at("hidden_size").integer(1, kMaxModelSize);
    c.head_dim = c.hidden_size / c.num_heads;
    if (c.head_dim * c.num_heads != c.hidden_size)
        config.fail("num_attention_heads does not divide hidden_size");
    c.embedding_size = config.integer_or("word_embed_proj_dim", c.hidden_size, 1, kMaxModelSize);
    c.intermediate_size = config.at("ffn_dim").integer(1, kMaxModelSize);
    c.vocab_size = config.at("vocab_size").integer(1, kMaxModelSize);
    c.max_position_embeddings =
        config.integer_or("max_position_embeddings", 2048, 1, kMaxModelSize);
    c.norm_kind = Norm::Kind::kLayer;
    c.norm_eps = 1e-5;
    const bool norm_before = config.boolean_or("do_layer_norm_before", true);
    c.norm_places = {.before = norm_before, .after = !norm_before};
    c.final_norm = norm_before && !config.boolean_or("_remove_final_layer_norm", false);
    c.positions = ModelConfig::Positions::kLearned;
    c.learned_position_offset = 2;  // rows 0 and 1 of the table are not positions
    c.gated_mlp = false;
    c.activation = Activation::kRelu;
    if (const auto activation = config.find("activation_function"); activation) {
        c.activation = read_activation(*activation);
    }
    c.qkv_bias = c.o_bias = c.mlp_bias = config.boolean_or("enable_bias", true);
    c.tie_word_embeddings = config.boolean_or("tie_word_embeddings", true);
    return c;
}

}  // namespace

Family opt_family() {
    TensorNames names;
    names.prefixes = {"model.decoder.", "decoder."};
    names.position_embedding = "embed_positions";
    names.project_in = "project_in";
    names.project_out = "project_out";
    names.final_norm = "final_layer_norm";
    names.attention_norm = "layers.{}.self_attn_layer_norm";
    names.o = "layers.{}.self_attn.out_proj";
    names.mlp_norm = "layers.{}.final_layer_norm";
    names.gate = "";
    names.up = "layers.{}.fc1";
    names.down = "layers.{}.fc2";
    return {"opt", read_config, names};
}

}  // namespace lowkey
