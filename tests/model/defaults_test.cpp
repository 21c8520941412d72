// What families take a key to be that their config.json lacks: as the reference implementation's
// configuration classes (transformers 5.24) have it, given the sizes alone.
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/model/config_helpers.h"

namespace lowkey {
namespace {

using nlohmann::json;
using test::read;

struct Defaults {
    const char* model_type;
    int64_t num_kv_heads;  // of 64 heads
    int64_t head_dim;      // of 256 / 64
    int64_t max_position_embeddings;
    double norm_eps;
    bool ties;
    double theta;  // 0: no rotary positions
    double rotary_share;
    Activation activation;
    bool qkv_bias;
    bool o_bias;
    bool mlp_bias;
    int64_t window;  // of layer 0
};

constexpr auto kSilu = Activation::kSilu;
constexpr auto kTanh = Activation::kGeluTanh;

// clang-format off
const Defaults kDefaults[] = {
    {"llama",       64,   4,   2048, 1e-6,      false, 1e4, 1,   kSilu,             false, false, false, 0},
    {"mistral",      8,   4, 131072, 1e-6,      false, 1e4, 1,   kSilu,             false, false, false, 4096},
    {"qwen2",       32,   4,  32768, 1e-6,      false, 1e4, 1,   kSilu,             true,  false, false, 0},
    {"qwen3",       32, 128,  32768, 1e-6,      false, 1e4, 1,   kSilu,             false, false, false, 0},
    {"opt",         64,   4,   2048, 1e-5,      true,  0,   1,   Activation::kRelu, true,  true,  true,  0},
    {"mpt",         64,   4,   2048, 1e-5,      true,  0,   1,   Activation::kGelu, false, false, false, 0},
    {"glm",          2, 128, 131072, 1.5625e-7, false, 1e4, 0.5, kSilu,             true,  false, false, 0},
    {"glm4",         2, 128, 131072, 1.5625e-7, false, 1e4, 0.5, kSilu,             true,  false, false, 0},
    {"phi3",        64,   4,   4096, 1e-5,      false, 1e4, 1,   kSilu,             false, false, false, 0},
    {"gemma",       16, 256,   8192, 1e-6,      true,  1e4, 1,   kTanh,             false, false, false, 0},
    {"gemma2",       4, 256,   8192, 1e-6,      true,  1e4, 1,   kTanh,             false, false, false, 4096},
    {"gemma3_text",  4, 256, 131072, 1e-6,      true,  1e6, 1,   kTanh,             false, false, false, 4096},
};
// clang-format on

/// The sizes alone.
json sizes_of(const std::string& model_type) {
    if (model_type == "mpt") {
        return {{"model_type", "mpt"},
                {"d_model", 256},
                {"n_heads", 64},
                {"n_layers", 30},
                {"vocab_size", 99}};
    }
    json config = {{"model_type", model_type},
                   {"hidden_size", 256},
                   {"num_attention_heads", 64},
                   {"num_hidden_layers", 30},
                   {"vocab_size", 99}};
    config[model_type == "opt" ? "ffn_dim" : "intermediate_size"] = 100;
    return config;
}

TEST(Defaults, AreTheReferencesForEveryFamily) {
    for (const Defaults& want : kDefaults) {
        SCOPED_TRACE(want.model_type);
        const ModelConfig c = read(sizes_of(want.model_type));
        EXPECT_EQ(c.num_kv_heads, want.num_kv_heads);
        EXPECT_EQ(c.head_dim, want.head_dim);
        EXPECT_EQ(c.max_position_embeddings, want.max_position_embeddings);
        EXPECT_EQ(c.norm_eps, want.norm_eps);
        EXPECT_EQ(c.tie_word_embeddings, want.ties);
        EXPECT_EQ(c.positions == ModelConfig::Positions::kRope, want.theta > 0);
        if (want.theta > 0) {
            EXPECT_EQ(c.rope.theta, want.theta);
            EXPECT_EQ(c.rope.scaling, RopeConfig::Scaling::kNone);
            EXPECT_EQ(static_cast<double>(c.rope.rotary_dim),
                      want.rotary_share * static_cast<double>(c.head_dim));
        }
        EXPECT_EQ(c.activation, want.activation);
        EXPECT_EQ(c.qkv_bias, want.qkv_bias);
        EXPECT_EQ(c.o_bias, want.o_bias);
        EXPECT_EQ(c.mlp_bias, want.mlp_bias);
        EXPECT_EQ(c.sliding_window(0), want.window);
    }
}

TEST(Defaults, OfGemmaAreMoreThanLlamasKeys) {
    const ModelConfig gemma2 = read(sizes_of("gemma2"));
    EXPECT_EQ(gemma2.softmax_scale, 1.0 / 16) << "query_pre_attn_scalar 256";
    EXPECT_EQ(gemma2.attention_softcap, 50);
    EXPECT_EQ(gemma2.logits_softcap, 30);
    EXPECT_EQ(gemma2.sliding_window(1), 0);
    const ModelConfig gemma3 = read(sizes_of("gemma3_text"));
    EXPECT_EQ(gemma3.softmax_scale, 1.0 / 16);
    EXPECT_EQ(gemma3.attention_softcap, 0);
    EXPECT_EQ(gemma3.logits_softcap, 0);
    EXPECT_EQ(gemma3.rope_of(0).theta, 1e4);
    EXPECT_EQ(gemma3.sliding_window(5), 0);
    EXPECT_EQ(gemma3.sliding_window(6), 4096);
}

TEST(Defaults, OfGemma3ThatSeesImagesHoldItsSizesToo) {
    // As its checkpoints of 4B leave them out.
    const ModelConfig c = read({{"model_type", "gemma3"},
                                {"text_config",
                                 {{"hidden_size", 2560},
                                  {"intermediate_size", 10240},
                                  {"model_type", "gemma3_text"},
                                  {"num_hidden_layers", 34},
                                  {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
                                  {"sliding_window", 1024}}}});
    EXPECT_EQ(c.num_heads, 8);
    EXPECT_EQ(c.num_kv_heads, 4);
    EXPECT_EQ(c.head_dim, 256);
    EXPECT_EQ(c.vocab_size, 262208);
    EXPECT_EQ(c.rope_of(5).factor, 8);
    EXPECT_EQ(c.rope_of(0).scaling, RopeConfig::Scaling::kNone);
}

TEST(Defaults, NullsMeanWhatFollowsFromTheOtherKeys) {
    for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "glm", "phi3"}) {
        json config = sizes_of(family);
        config["num_key_value_heads"] = nullptr;
        config["head_dim"] = nullptr;
        EXPECT_EQ(read(config).num_kv_heads, 64) << family;
        EXPECT_EQ(read(config).head_dim, 4) << family;
    }
}

TEST(Defaults, OfSizesAreNotGuessed) {
    for (const char* family : {"llama", "qwen2", "opt", "mpt"}) {
        const json sizes = sizes_of(family);
        for (const auto& [key, value] : sizes.items()) {
            json config = sizes;
            config.erase(key);
            EXPECT_THROW(read(config), FileError) << family << " " << key;
        }
    }
}

}  // namespace
}  // namespace lowkey
