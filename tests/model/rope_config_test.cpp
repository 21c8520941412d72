// Where the keys of rotary positions may stand in a config.json: as the reference implementation
// (transformers 5.24) takes them, or refused by name.
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
using Scaling = RopeConfig::Scaling;

json family(const std::string& model_type, const json& rope = json::object()) {
    json config = {
        {"model_type", model_type}, {"num_hidden_layers", 2}, {"num_attention_heads", 4},
        {"num_key_value_heads", 2}, {"hidden_size", 64},      {"head_dim", 16},
        {"intermediate_size", 128}, {"vocab_size", 100},      {"max_position_embeddings", 512},
        {"rms_norm_eps", 1e-5}};
    if (!rope.empty()) config.update(rope);
    return config;
}
json llama(const json& rope) { return family("llama", rope); }

json linear(double factor) { return {{"rope_type", "linear"}, {"factor", factor}}; }

TEST(RopeKeys, StandBesideOrInRopeParameters) {
    EXPECT_EQ(read(llama({})).rope.theta, 10000);
    EXPECT_EQ(read(llama({{"rope_theta", 1e6}})).rope.theta, 1e6);
    const json own = {{"rope_type", "default"}, {"rope_theta", 2e6}};
    EXPECT_EQ(read(llama({{"rope_parameters", own}})).rope.theta, 2e6);
    EXPECT_EQ(read(llama({{"rope_theta", 1e6}, {"rope_parameters", own}})).rope.theta, 2e6);
    EXPECT_EQ(read(llama({{"rope_theta", 1e6}, {"rope_parameters", linear(2)}})).rope.theta, 1e6);
    EXPECT_EQ(read(llama({{"rope_theta", 1e6}, {"rope_scaling", own}})).rope.theta, 2e6);
    const json both_names = {{"type", "linear"}, {"rope_type", "dynamic"}, {"factor", 2.0}};
    EXPECT_EQ(read(llama({{"rope_scaling", both_names}})).rope.scaling, Scaling::kDynamic);
}

TEST(RopeKeys, RopeScalingReplacesRopeParameters) {
    json parameters = linear(4);
    const auto factor = [](const json& rope) { return read(llama(rope)).rope.factor; };
    EXPECT_EQ(factor({{"rope_parameters", parameters}, {"rope_scaling", linear(8)}}), 8);
    EXPECT_EQ(factor({{"rope_parameters", parameters}, {"rope_scaling", nullptr}}), 4);
    EXPECT_EQ(factor({{"rope_parameters", parameters}, {"rope_scaling", json::object()}}), 4);
    EXPECT_EQ(factor({{"rope_parameters", nullptr}, {"rope_scaling", linear(8)}}), 8);
    EXPECT_EQ(factor({{"rope_parameters", json::object()}, {"rope_scaling", linear(8)}}), 8);

    // Nobody means to go back to the default base.
    parameters["rope_theta"] = 1e6;
    EXPECT_THAT(
        refusal<FileError>(llama({{"rope_parameters", parameters}, {"rope_scaling", linear(8)}})),
        HasSubstr("rope_scaling replaces rope_parameters, and with it rope_theta"));
    const ModelConfig same = read(
        llama({{"rope_theta", 1e6}, {"rope_parameters", parameters}, {"rope_scaling", linear(8)}}));
    EXPECT_EQ(same.rope.theta, 1e6);
    EXPECT_EQ(same.rope.factor, 8);
    json scaling = linear(8);
    scaling["rope_theta"] = 1e6;
    EXPECT_EQ(factor({{"rope_parameters", parameters}, {"rope_scaling", scaling}}), 8);
}

TEST(RopeKeys, TheOriginalContextBesideTheScalingCountsFirst) {
    const json yarn = {
        {"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 256}};
    const auto original = [](const json& config) {
        return read(config).rope.original_max_position_embeddings;
    };
    EXPECT_EQ(original(llama({{"rope_scaling", yarn}})), 256);
    EXPECT_EQ(original(llama({{"rope_scaling", yarn}, {"original_max_position_embeddings", 128}})),
              128);
    EXPECT_EQ(original(llama({{"rope_scaling", {{"type", "yarn"}, {"factor", 4.0}}}})), 512);
    const json su = {{"type", "su"},
                     {"short_factor", json::array({1, 1, 1, 1, 1, 1, 1, 1})},
                     {"long_factor", json::array({2, 2, 2, 2, 2, 2, 2, 2})},
                     {"original_max_position_embeddings", 256}};
    EXPECT_EQ(original(family("phi3", {{"rope_scaling", su}})), 4096)
        << "the family's own, where no key stands beside the scaling";
    EXPECT_EQ(
        original(family("phi3", {{"rope_scaling", su}, {"original_max_position_embeddings", 128}})),
        128);
    EXPECT_EQ(read(family("phi3", {{"rope_scaling", su}})).rope.scaling, Scaling::kLongRope);
}

TEST(RopeKeys, AScalingNeedsItsNumbers) {
    for (const char* type : {"linear", "dynamic", "yarn"}) {
        EXPECT_THAT(refusal<FileError>(llama({{"rope_scaling", {{"rope_type", type}}}})),
                    HasSubstr("factor' is missing"))
            << type;
    }
    json llama3 = {{"rope_type", "llama3"},
                   {"factor", 8.0},
                   {"low_freq_factor", 1.0},
                   {"high_freq_factor", 4.0},
                   {"original_max_position_embeddings", 128}};
    EXPECT_EQ(read(llama({{"rope_scaling", llama3}})).rope.scaling, Scaling::kLlama3);
    for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"}) {
        json lacks = llama3;
        lacks.erase(key);
        EXPECT_THAT(refusal<FileError>(llama({{"rope_scaling", lacks}})), HasSubstr(key));
        for (const json& bad : {json(0), json(-1), json(1e30), json("1"), json::array()}) {
            EXPECT_THAT(
                refusal<FileError>(llama({{"rope_scaling", with(llama3, key, bad)}})),
                HasSubstr(std::string(key) == "factor" && bad.is_number() ? "RoPE scaling" : key))
                << bad;
        }
    }
    const ModelConfig open = read(llama({{"rope_scaling",
                                          {{"rope_type", "yarn"},
                                           {"factor", nullptr},
                                           {"original_max_position_embeddings", 128}}}}));
    EXPECT_EQ(open.rope.factor, 4) << "512 / 128";
    const json yarn = {{"rope_type", "yarn"}, {"factor", 4.0}};
    EXPECT_EQ(read(llama({{"rope_scaling", with(yarn, "beta_fast", 0)}})).rope.beta_fast, 32);
    for (const char* key : {"beta_fast", "beta_slow", "mscale", "attention_factor"}) {
        EXPECT_THAT(refusal<FileError>(llama({{"rope_scaling", with(yarn, key, -1)}})),
                    HasSubstr(key));
    }
}

TEST(RopeKeys, ByLayerTypeAreRefusedWhereAFamilyHasOneKind) {
    const json nested = {{"full_attention", linear(8)}, {"sliding_attention", linear(1)}};
    for (const char* name : {"llama", "qwen2", "gemma2", "mistral", "phi3"}) {
        for (const char* key : {"rope_parameters", "rope_scaling"}) {
            EXPECT_THAT(refusal<UnsupportedError>(family(name, {{key, nested}})),
                        HasSubstr("full_attention"))
                << name;
        }
    }
    EXPECT_THAT(refusal<FileError>(llama({{"rope_parameters", "linear"}})),
                HasSubstr("rope_parameters"));
    EXPECT_THAT(refusal<FileError>(llama({{"rope_scaling", 4.0}})), HasSubstr("rope_scaling"));
}

TEST(RopeKeys, OfGemma3AreByLayerType) {
    const auto gemma3 = [](const json& rope) { return family("gemma3_text", rope); };
    const auto thetas = [&](const json& rope) {
        const ModelConfig c = read(gemma3(rope));
        return std::pair(c.rope.theta, c.local_rope->theta);
    };
    const json full = {{"rope_type", "default"}, {"rope_theta", 5e5}};
    EXPECT_EQ(thetas({}), std::pair(1e6, 1e4));
    EXPECT_EQ(thetas({{"rope_theta", 3e6}, {"rope_local_base_freq", 2e4}}), std::pair(3e6, 2e4));
    EXPECT_EQ(thetas({{"rope_parameters", {{"full_attention", full}}}}), std::pair(5e5, 1e4));
    EXPECT_EQ(
        thetas({{"rope_local_base_freq", 2e4}, {"rope_parameters", {{"full_attention", full}}}}),
        std::pair(5e5, 2e4));
    EXPECT_EQ(thetas({{"rope_theta", 7e5},
                      {"rope_parameters",
                       {{"full_attention", nullptr}, {"sliding_attention", nullptr}}}}),
              std::pair(7e5, 1e4));
    const ModelConfig merged = read(
        gemma3({{"rope_parameters", {{"full_attention", full}}}, {"rope_scaling", linear(8)}}));
    EXPECT_EQ(merged.rope.theta, 5e5) << "rope_scaling is added to the full layers' own";
    EXPECT_EQ(merged.rope.factor, 8);
    EXPECT_EQ(merged.local_rope->scaling, Scaling::kNone);
    EXPECT_THAT(refusal<UnsupportedError>(gemma3({{"rope_parameters", full}})),
                HasSubstr("'rope_theta' in rope_parameters"));
}

TEST(RopeKeys, OfAShareAreKnownToSomeFamilies) {
    const json half = {{"partial_rotary_factor", 0.5}};
    EXPECT_EQ(read(family("glm")).rope.rotary_dim, 8);
    EXPECT_EQ(read(family("glm", {{"partial_rotary_factor", 0.25}})).rope.rotary_dim, 4);
    EXPECT_EQ(read(family("glm", {{"partial_rotary_factor", 0.25}, {"rope_parameters", half}}))
                  .rope.rotary_dim,
              8);
    EXPECT_EQ(read(family("phi3", half)).rope.rotary_dim, 8);
    for (const char* name : {"llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text"}) {
        EXPECT_THAT(refusal<UnsupportedError>(family(name, half)),
                    HasSubstr("partial_rotary_factor"))
            << name;
        EXPECT_EQ(read(family(name, {{"partial_rotary_factor", 1.0}})).rope.rotary_dim, 16);
    }
}

TEST(RopeKeys, LayersWithAWindowNeedOne) {
    const json types = {"sliding_attention", "full_attention"};
    EXPECT_THAT(refusal<FileError>(family("qwen2", {{"layer_types", types}})),
                HasSubstr("no sliding_window"));
    const json windows = {{"layer_types", {"sliding_attention", "attention"}},
                          {"use_sliding_window", true},
                          {"sliding_window", 16}};
    EXPECT_EQ(read(family("qwen2", windows)).sliding_window(0), 16);
    EXPECT_EQ(read(family("qwen2", windows)).sliding_window(1), 0) << "the older name of full";
}

}  // namespace
}  // namespace lowkey
