// What each family's config.json means where no golden shows it, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "io/json_reader.h"
#include "tests/io/temporary_folder.h"
#include "tests/model/config_helpers.h"
#include "tests/model/golden.h"

namespace lowkey {
namespace {

using nlohmann::json;
using test::read;
using test::refusal;
using test::with;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

json config_of(const std::string& golden) {
    return read_json_file(std::string(LOWKEY_TEST_DATA) + "/models/" + golden + "/config.json");
}

json without(json config, const std::string& key) {
    config.erase(key);
    return config;
}

TEST(Families, MistralWithoutAWindowSaysNull) {
    EXPECT_EQ(read(config_of("mistral-window")).sliding_window(1), 14);
    EXPECT_EQ(read(with(config_of("mistral-window"), "sliding_window", nullptr)).sliding_window(0),
              0);
    EXPECT_EQ(read(without(config_of("mistral-window"), "sliding_window")).sliding_window(0), 4096);
}

TEST(Families, QwenWindowsBeginAtALayerOrFollowTheList) {
    const json qwen = config_of("qwen2-window");
    EXPECT_THAT(read(qwen).sliding_windows, ElementsAre(0, 9, 9));
    EXPECT_THAT(read(with(qwen, "use_sliding_window", false)).sliding_windows,
                ElementsAre(0, 0, 0));
    const json list = {"sliding_attention", "full_attention", "sliding_attention"};
    EXPECT_THAT(read(with(qwen, "layer_types", list)).sliding_windows, ElementsAre(9, 0, 9));
}

TEST(Families, GemmaPatternsPutTheFullLayerLast) {
    EXPECT_THAT(read(config_of("gemma2")).sliding_windows, ElementsAre(12, 0, 12));
    const ModelConfig gemma3 = read(config_of("gemma3"));
    EXPECT_THAT(gemma3.sliding_windows, ElementsAre(11, 11, 0));
    EXPECT_EQ(gemma3.rope_of(0).theta, 10000);
    EXPECT_EQ(gemma3.rope_of(2).theta, 1000000);
    const ModelConfig scaled =
        read(with(config_of("gemma3"), "rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}));
    EXPECT_EQ(scaled.rope_of(2).factor, 8);
    EXPECT_EQ(scaled.rope_of(0).scaling, RopeConfig::Scaling::kNone) << "full layers only";
}

TEST(Families, BaichuanFormsDifferByTwoKeys) {
    const ModelConfig small = read(config_of("baichuan2-7b"));
    EXPECT_EQ(small.positions, ModelConfig::Positions::kRope);
    EXPECT_TRUE(small.normalize_lm_head);
    const ModelConfig large = read(config_of("baichuan2-13b"));
    EXPECT_EQ(large.positions, ModelConfig::Positions::kAlibi);
    EXPECT_EQ(large.alibi_slopes.size(), 3);
    EXPECT_EQ(large.max_position_embeddings, 256);
    EXPECT_FALSE(read(with(config_of("baichuan2-7b"), "vocab_size", 64000)).normalize_lm_head)
        << "the first Baichuan has a plain output head";
}

TEST(Families, RefuseWhatContradictsItself) {
    const json mistral = config_of("mistral-window");
    for (const json& bad : {json(-1), json(0), json(1.5), json("far"), json(int64_t{1} << 40)}) {
        EXPECT_THAT(refusal<FileError>(with(mistral, "sliding_window", bad)),
                    HasSubstr("m/config.json, sliding_window"))
            << bad;
    }
    const json qwen = config_of("qwen2-window");
    EXPECT_THAT(refusal<FileError>(with(qwen, "layer_types", json::array({"full_attention"}))),
                HasSubstr("1 layer_types for 3 layers"));
    EXPECT_THAT(refusal<FileError>(with(qwen, "layer_types", "all")), HasSubstr("layer_types"));
    EXPECT_THAT(refusal<FileError>(with(qwen, "max_window_layers", -2)),
                HasSubstr("max_window_layers"));
    EXPECT_THAT(refusal<FileError>(with(config_of("gemma3"), "sliding_window_pattern", 0)),
                HasSubstr("sliding_window_pattern"));
    for (const json& bad : {json(0), json(-4), json("x")}) {
        EXPECT_THAT(refusal<FileError>(with(config_of("gemma2"), "query_pre_attn_scalar", bad)),
                    HasSubstr("query_pre_attn_scalar"))
            << bad;
    }
    for (const char* cap : {"attn_logit_softcapping", "final_logit_softcapping"}) {
        EXPECT_THAT(refusal<FileError>(with(config_of("gemma2"), cap, -1)), HasSubstr(cap));
        EXPECT_THAT(refusal<FileError>(with(config_of("gemma2"), cap, "on")), HasSubstr(cap));
    }
    EXPECT_THAT(refusal<FileError>(with(config_of("glm"), "partial_rotary_factor", 1.5)),
                HasSubstr("partial_rotary_factor"));
    json local = config_of("gemma3-new-config");
    local["rope_parameters"]["sliding_attention"]["partial_rotary_factor"] = 0.1;  // 3 of 32
    EXPECT_THAT(refusal<UnsupportedError>(local), HasSubstr("partial_rotary_factor"));
    EXPECT_THAT(refusal<FileError>(with(config_of("glm"), "partial_rotary_factor", 0.1)),
                HasSubstr("even head size"));
    EXPECT_THAT(refusal<FileError>(with(config_of("mpt"), "n_heads", 5)),
                HasSubstr("n_heads does not divide d_model"));
    json mpt = config_of("mpt");
    for (const json& bad : {json("yes"), json(-1), json(true)}) {
        mpt["attn_config"]["clip_qkv"] = bad;
        EXPECT_THAT(refusal<FileError>(mpt), HasSubstr("clip_qkv")) << bad;
    }
}

TEST(Families, RefuseBadLongRopeFactors) {
    const auto refused = [](const std::string& key, const json& value) {
        json phi = config_of("phi3-longrope");
        phi["rope_scaling"][key] = value;
        return refusal<FileError>(phi);
    };
    EXPECT_THAT(refused("long_factor", {1.0, 2.0}), HasSubstr("2 factors for 4 rotary pairs"));
    EXPECT_THAT(refused("short_factor", {1.0, 2.0, 0.0, 1.0}), HasSubstr("RoPE factor"));
    EXPECT_THAT(refused("short_factor", nullptr), HasSubstr("short_factor"));
    EXPECT_THAT(refused("long_factor", "long"), HasSubstr("long_factor"));
    EXPECT_THAT(refusal<FileError>(with(config_of("llama-mha"), "rope_scaling",
                                        {{"type", "dynamic"}, {"factor", 0.5}})),
                HasSubstr("dynamic"));
}

TEST(Families, NameWhatTheyDoNotSupport) {
    json mpt = config_of("mpt");
    for (const auto& [key, value] :
         std::map<std::string, json>{{"alibi", false},
                                     {"qk_ln", true},
                                     {"prefix_lm", true},
                                     {"attn_type", "multiquery_attention"}}) {
        json changed = mpt;
        changed["attn_config"][key] = value;
        EXPECT_THAT(refusal<UnsupportedError>(changed), HasSubstr(key));
    }
    EXPECT_THAT(refusal<UnsupportedError>(with(mpt, "no_bias", false)), HasSubstr("no_bias"));
    EXPECT_THAT(refusal<UnsupportedError>(with(mpt, "logit_scale", 0.5)), HasSubstr("logit_scale"));
    EXPECT_THAT(
        refusal<UnsupportedError>(with(config_of("gemma3"), "use_bidirectional_attention", true)),
        HasSubstr("both directions"));
    EXPECT_THAT(refusal<UnsupportedError>(with(config_of("qwen2-window"), "layer_types",
                                               {"full_attention", "ring", "full_attention"})),
                HasSubstr("'ring'"));
}

class FamilyWeights : public TemporaryFolder {
protected:
    /// Of a golden checkpoint whose config says something else than its weights.
    std::string load_refusal(const std::string& golden, const std::string& key, const json& value) {
        const std::string from = std::string(LOWKEY_TEST_DATA) + "/models/" + golden;
        std::filesystem::copy_file(from + "/model.safetensors", path("model.safetensors"),
                                   std::filesystem::copy_options::overwrite_existing);
        std::ofstream(path("config.json")) << with(config_of(golden), key, value).dump();
        return message_of<FileError>([&] { static_cast<void>(Model::load(path(""))); });
    }
};

TEST_F(FamilyWeights, FusedTensorsMustHaveTheRowsOfTheirParts) {
    EXPECT_THAT(load_refusal("phi3", "num_key_value_heads", 4), HasSubstr("qkv_proj"));
    EXPECT_THAT(load_refusal("phi3", "intermediate_size", 80), HasSubstr("gate_up_proj"));
    EXPECT_THAT(load_refusal("glm4", "intermediate_size", 96), HasSubstr("gate_up_proj"));
    EXPECT_THAT(load_refusal("baichuan2-7b", "num_hidden_layers", 3), HasSubstr("layers.2"));
    EXPECT_THAT(load_refusal("mpt", "n_layers", 3), HasSubstr("blocks.2"));
    EXPECT_THAT(load_refusal("qwen3", "head_dim", 16), HasSubstr("q_proj"));
    EXPECT_THAT(load_refusal("llama-mha", "model_type", "phi3"), HasSubstr("qkv_proj"));
    EXPECT_THAT(load_refusal("llama-new-config", "model_type", "qwen3"), HasSubstr("q_norm"));
}

}  // namespace
}  // namespace lowkey
