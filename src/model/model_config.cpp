#include "model/model_config.h"

#include <array>
#include <cmath>

#include "base/error.h"
#include "model/family.h"

namespace lowkey {
namespace {

void check_heads(const ModelConfig& c, const JsonReader& config) {
    if (c.num_heads % c.num_kv_heads != 0) {
        config.fail(std::to_string(c.num_heads) + " query heads cannot share " +
                    std::to_string(c.num_kv_heads) + " KV heads evenly");
    }
    if (c.positions == ModelConfig::Positions::kRope &&
        (c.rope.rotary_dim % 2 != 0 || c.rope.rotary_dim < 2)) {
        config.fail("rotary positions need an even head size, not " +
                    std::to_string(c.rope.rotary_dim));
    }
}

double yarn_mscale(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

void read_yarn(const JsonReader& scaling, RopeConfig& rope) {
    rope.beta_fast = scaling.number_or("beta_fast", 32);
    rope.beta_slow = scaling.number_or("beta_slow", 1);
    rope.truncate = scaling.boolean_or("truncate", true);
    const double mscale = scaling.number_or("mscale", 0);
    const double mscale_all_dim = scaling.number_or("mscale_all_dim", 0);
    const double from_factor =
        mscale != 0 && mscale_all_dim != 0
            ? yarn_mscale(rope.factor, mscale) / yarn_mscale(rope.factor, mscale_all_dim)
            : yarn_mscale(rope.factor, 1);
    rope.attention_factor = scaling.number_or("attention_factor", from_factor);
}

void read_scaling(const JsonReader& scaling, RopeConfig& rope, int64_t max_position_embeddings) {
    const std::string type = scaling.string_or("rope_type", scaling.string_or("type", "default"));
    if (type == "default") return;
    rope.factor = scaling.number_or("factor", 1);
    if (!(rope.factor >= 1e-3)) scaling.fail("RoPE scaling factor " + std::to_string(rope.factor));
    rope.original_max_position_embeddings = scaling.integer_or(
        "original_max_position_embeddings", max_position_embeddings, 1, kMaxModelSize);
    if (type == "linear") {
        rope.scaling = RopeConfig::Scaling::kLinear;
    } else if (type == "llama3") {
        rope.scaling = RopeConfig::Scaling::kLlama3;
        rope.low_freq_factor = scaling.number_or("low_freq_factor", 1);
        rope.high_freq_factor = scaling.number_or("high_freq_factor", 4);
        if (!(rope.high_freq_factor > rope.low_freq_factor)) {
            scaling.fail("high_freq_factor must be above low_freq_factor");
        }
    } else if (type == "yarn") {
        rope.scaling = RopeConfig::Scaling::kYarn;
        read_yarn(scaling, rope);
    } else {
        throw UnsupportedError("RoPE scaling '" + type + "' is not supported", scaling.file(),
                               "known are default, linear, llama3 and yarn");
    }
}

}  // namespace

ModelConfig ModelConfig::read(const nlohmann::json& json, const std::string& path) {
    const JsonReader config(json, path);
    const std::string model_type = config.at("model_type").string();
    ModelConfig result = find_family(model_type, path).read_config(config);
    result.model_type = model_type;
    if (const auto architectures = config.find("architectures"); architectures) {
        const auto names = architectures->items();
        if (!names.empty()) result.architecture = names.front().string();
    }
    check_heads(result, config);
    return result;
}

RopeConfig read_rope(const JsonReader& config, int64_t head_dim, double default_theta,
                     int64_t max_position_embeddings) {
    RopeConfig rope;
    rope.theta = config.number_or("rope_theta", default_theta);
    double rotary_share = config.number_or("partial_rotary_factor", 1);
    if (const auto parameters = config.find("rope_parameters"); parameters) {
        rope.theta = parameters->number_or("rope_theta", rope.theta);
        rotary_share = parameters->number_or("partial_rotary_factor", rotary_share);
        read_scaling(*parameters, rope, max_position_embeddings);
    } else if (const auto scaling = config.find("rope_scaling"); scaling) {
        read_scaling(*scaling, rope, max_position_embeddings);
    }
    if (!(rope.theta > 1)) config.fail("rope_theta " + std::to_string(rope.theta));
    if (!(rotary_share > 0 && rotary_share <= 1)) {
        config.fail("partial_rotary_factor " + std::to_string(rotary_share));
    }
    rope.rotary_dim = static_cast<int64_t>(static_cast<double>(head_dim) * rotary_share);
    return rope;
}

Activation read_activation(const JsonReader& name) {
    struct Row {
        const char* name;
        Activation activation;
    };
    constexpr std::array<Row, 6> kActivations = {{{"silu", Activation::kSilu},
                                                  {"swish", Activation::kSilu},
                                                  {"relu", Activation::kRelu},
                                                  {"gelu", Activation::kGelu},
                                                  {"gelu_new", Activation::kGeluTanh},
                                                  {"gelu_pytorch_tanh", Activation::kGeluTanh}}};
    for (const Row& row : kActivations) {
        if (name.string() == row.name) return row.activation;
    }
    throw UnsupportedError("activation '" + name.string() + "' is not supported", name.file(),
                           "known are silu, relu, gelu and gelu_new");
}

}  // namespace lowkey
