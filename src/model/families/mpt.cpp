#include "model/families/mpt.h"

#include "base/error.h"
#include "tensor/alibi.h"

namespace lowkey {
namespace {

void refuse(const JsonReader& config, const std::string& feature) {
    throw UnsupportedError(feature + " of MPT is not supported", config.file(),
                           "use a checkpoint without it");
}

/// attn_config, whose features no published checkpoint but ALiBi and clipping uses.
void read_attention(const JsonReader& attention, ModelConfig& c) {
    if (!attention.boolean_or("alibi", true)) refuse(attention, "\"alibi\": false");
    if (attention.boolean_or("qk_ln", false)) refuse(attention, "qk_ln");
    if (attention.boolean_or("prefix_lm", false)) refuse(attention, "prefix_lm");
    if (attention.string_or("attn_type", "multihead_attention") != "multihead_attention")
        refuse(attention, "attn_type other than multihead_attention");
    c.clip_qkv = read_switch(attention, "clip_qkv", 0);
    c.softmax_scale = read_switch(attention, "softmax_scale", 0);
    const double bias_max = attention.number_or("alibi_bias_max", 8);
    if (!(bias_max > 0 && bias_max <= 1024)) {
        attention.fail("alibi_bias_max " + std::to_string(bias_max));
    }
    c.alibi_slopes = alibi_slopes(c.num_heads, bias_max);
}

ModelConfig read_config(const JsonReader& config) {
    ModelConfig c;
    c.num_layers = config.at("n_layers").integer(1, 4096);
    c.num_heads = config.at("n_heads").integer(1, 65536);
    c.num_kv_heads = c.num_heads;
    c.hidden_size = config.at("d_model").integer(1, kMaxModelSize);
    c.head_dim = c.hidden_size / c.num_heads;
    if (c.head_dim * c.num_heads != c.hidden_size) config.fail("n_heads does not divide d_model");
    c.embedding_size = c.hidden_size;
    c.intermediate_size = config.integer_or("expansion_ratio", 4, 1, 1024) * c.hidden_size;
    c.vocab_size = config.at("vocab_size").integer(1, kMaxModelSize);
    c.max_position_embeddings = config.integer_or("max_seq_len", 2048, 1, kMaxModelSize);
    c.norm_kind = Norm::Kind::kLayer;
    c.norm_eps = read_norm_eps(config, "layer_norm_epsilon", 1e-5);
    c.norm_bias = false;
    c.positions = ModelConfig::Positions::kAlibi;
    c.gated_mlp = false;
    c.activation = Activation::kGelu;
    c.tie_word_embeddings = config.boolean_or("tie_word_embeddings", true);
    if (!config.boolean_or("no_bias", true)) refuse(config, "\"no_bias\": false");
    if (config.has("logit_scale")) refuse(config, "logit_scale");
    if (const auto attention = config.find("attn_config"); attention) {
        read_attention(*attention, c);
    } else {
        c.alibi_slopes = alibi_slopes(c.num_heads);
    }
    return c;
}

}  // namespace

Family mpt_family() {
    TensorNames names;
    names.prefixes = {"transformer."};
    names.embedding = "wte";
    names.final_norm = "norm_f";
    names.attention_norm = "blocks.{}.norm_1";
    names.qkv = "blocks.{}.attn.Wqkv";
    names.o = "blocks.{}.attn.out_proj";
    names.mlp_norm = "blocks.{}.norm_2";
    names.up = "blocks.{}.ffn.up_proj";
    names.down = "blocks.{}.ffn.down_proj";
    return {"mpt", read_config, names};
}

}  // namespace lowkey
