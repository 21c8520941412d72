#include "model/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/model/config_helpers.h"

namespace lowkey {
namespace {

using nlohmann::json;
using test::read;
using test::refusal;
using test::with;
using ::testing::HasSubstr;
using ::testing::StartsWith;

json llama() {
    return {{"model_type", "llama"},          {"architectures", {"LlamaForCausalLM"}},
            {"num_hidden_layers", 2},         {"num_attention_heads", 4},
            {"num_key_value_heads", 2},       {"hidden_size", 64},
            {"intermediate_size", 128},       {"vocab_size", 100},
            {"max_position_embeddings", 512}, {"rms_norm_eps", 1e-5},
            {"hidden_act", "silu"},           {"rope_theta", 500000.0}};
}

json opt() {
    return {{"model_type", "opt"},
            {"num_hidden_layers", 2},
            {"num_attention_heads", 4},
            {"hidden_size", 64},
            {"ffn_dim", 256},
            {"vocab_size", 100},
            {"max_position_embeddings", 128}};
}

TEST(ModelConfig, ReadsPublishedKeys) {
    const ModelConfig c = read(llama());
    EXPECT_EQ(c.architecture, "LlamaForCausalLM");
    EXPECT_EQ(c.num_layers, 2);
    EXPECT_EQ(c.num_heads, 4);
    EXPECT_EQ(c.num_kv_heads, 2);
    EXPECT_EQ(c.group_size(), 2);
    EXPECT_EQ(c.head_dim, 16) << "hidden_size / num_attention_heads where no key says it";
    EXPECT_EQ(c.kv_bytes_per_token(), 2 * 2 * 2 * 16 * 2);
    EXPECT_EQ(c.rope.theta, 500000);
    EXPECT_EQ(c.rope.rotary_dim, 16);
    EXPECT_FALSE(c.tie_word_embeddings);
    EXPECT_FALSE(c.qkv_bias);
}

TEST(ModelConfig, HeadDimMayDifferFromHiddenSize) {
    EXPECT_EQ(read(with(llama(), "head_dim", 24)).head_dim, 24);
}

TEST(ModelConfig, BothRopeKeyStylesMeanTheSame) {
    json older = llama();
    older["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
    json old = llama();
    old["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 4.0}};
    json now = llama();
    now.erase("rope_theta");
    now["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 4.0}, {"rope_theta", 500000.0}};
    for (const json& config : {older, old, now}) {
        const ModelConfig c = read(config);
        EXPECT_EQ(c.rope.theta, 500000);
        EXPECT_EQ(c.rope.scaling, RopeConfig::Scaling::kLinear);
        EXPECT_EQ(c.rope.factor, 4);
    }
}

TEST(ModelConfig, ReadsLlama3AndYarnScaling) {
    const ModelConfig llama3 = read(with(llama(), "rope_scaling",
                                         {{"rope_type", "llama3"},
                                          {"factor", 8.0},
                                          {"low_freq_factor", 1.0},
                                          {"high_freq_factor", 4.0},
                                          {"original_max_position_embeddings", 256}}));
    EXPECT_EQ(llama3.rope.scaling, RopeConfig::Scaling::kLlama3);
    EXPECT_EQ(llama3.rope.original_max_position_embeddings, 256);
    const ModelConfig yarn =
        read(with(llama(), "rope_scaling", {{"type", "yarn"}, {"factor", 4.0}}));
    EXPECT_EQ(yarn.rope.scaling, RopeConfig::Scaling::kYarn);
    EXPECT_NEAR(yarn.rope.attention_factor, 0.1 * std::log(4.0) + 1, 1e-12);
}

TEST(ModelConfig, NullsAreAbsentKeys) {
    json config = llama();
    config["head_dim"] = nullptr;
    config["rope_scaling"] = nullptr;
    config["num_key_value_heads"] = nullptr;
    const ModelConfig c = read(config);
    EXPECT_EQ(c.head_dim, 16);
    EXPECT_EQ(c.num_kv_heads, 4);
    EXPECT_EQ(c.rope.scaling, RopeConfig::Scaling::kNone);
}

TEST(ModelConfig, KnowsWhatFamiliesLeaveOut) {
    const ModelConfig qwen = read(with(llama(), "model_type", "qwen2"));
    EXPECT_TRUE(qwen.qkv_bias);
    EXPECT_FALSE(qwen.o_bias);
    const ModelConfig c = read(opt());
    EXPECT_TRUE(c.tie_word_embeddings);
    EXPECT_EQ(c.positions, ModelConfig::Positions::kLearned);
    EXPECT_EQ(c.learned_position_offset, 2);
    EXPECT_TRUE(c.norm_places.before);
    EXPECT_FALSE(c.norm_places.after);
    EXPECT_TRUE(c.final_norm);
    const ModelConfig after = read(with(opt(), "do_layer_norm_before", false));
    EXPECT_FALSE(after.norm_places.before);
    EXPECT_TRUE(after.norm_places.after);
    EXPECT_FALSE(after.final_norm);
}

TEST(ModelConfig, RefusesBadValuesByFileAndKey) {
    for (const char* key : {"num_hidden_layers", "num_attention_heads", "hidden_size",
                            "intermediate_size", "vocab_size", "model_type"}) {
        json config = llama();
        config.erase(key);
        EXPECT_THAT(refusal<FileError>(config), HasSubstr("m/config.json")) << key;
        for (const json& bad :
             {json(-1), json(0), json(1.5), json("many"), json(uint64_t{1} << 63), json::array()}) {
            const std::string message = refusal<Error>(with(llama(), key, bad));
            EXPECT_THAT(message, HasSubstr("m/config.json")) << key << " " << bad;
        }
    }
}

TEST(ModelConfig, RefusesContradictions) {
    EXPECT_THAT(refusal<FileError>(with(llama(), "num_key_value_heads", 3)),
                StartsWith("4 query heads cannot share 3 KV heads evenly: m/config.json"));
    EXPECT_THAT(refusal<FileError>(with(llama(), "num_key_value_heads", 8)),
                HasSubstr("num_key_value_heads"));
    EXPECT_THAT(refusal<FileError>(with(llama(), "head_dim", 15)), HasSubstr("even head size"));
    EXPECT_THAT(refusal<FileError>(with(opt(), "num_attention_heads", 7)),
                HasSubstr("does not divide hidden_size"));
    EXPECT_THAT(refusal<FileError>(with(llama(), "rope_theta", 0)), HasSubstr("rope_theta"));
    EXPECT_THAT(refusal<FileError>(with(llama(), "rope_theta", "ten")), HasSubstr("rope_theta"));
    EXPECT_THAT(
        refusal<FileError>(with(llama(), "rope_scaling", {{"type", "linear"}, {"factor", 0.0}})),
        HasSubstr("factor"));
    EXPECT_THAT(refusal<FileError>(json::array({1})), HasSubstr("m/config.json"));
}

TEST(ModelConfig, NamesWhatItDoesNotSupport) {
    EXPECT_THAT(refusal<UnsupportedError>(with(llama(), "model_type", "mamba")),
                HasSubstr("unknown model family 'mamba': m/config.json; known are llama"));
    EXPECT_THAT(refusal<UnsupportedError>(with(llama(), "rope_scaling", {{"type", "spiral"}})),
                HasSubstr("'spiral'"));
    EXPECT_THAT(refusal<UnsupportedError>(with(llama(), "hidden_act", "xielu")),
                HasSubstr("'xielu'"));
}

}  // namespace
}  // namespace lowkey
