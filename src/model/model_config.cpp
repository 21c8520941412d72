#include "model/model_config.h"

#include <array>
#include <cmath>

#include "base/error.h"
#include "model/family.h"

namespace lowkey {
namespace {

// Scales and caps beyond this are mistakes, and would overflow.
constexpr double kMaxSwitch = 1e9;

/// A key that is there and null, which can mean something else than its absence.
bool is_null(const JsonReader& config, const std::string& key) {
    return config.value().is_object() && config.value().contains(key) &&
           config.value().at(key).is_null();
}

void check_heads(const ModelConfig& c, const JsonReader& config) {
    if (c.num_heads % c.num_kv_heads != 0) {
        config.fail(std::to_string(c.num_heads) + " query heads cannot share " +
                    std::to_string(c.num_kv_heads) + " KV heads evenly");
    }
    for (const RopeConfig* rope : {&c.rope, c.local_rope ? &*c.local_rope : &c.rope}) {
        if (c.positions == ModelConfig::Positions::kRope &&
            (rope->rotary_dim % 2 != 0 || rope->rotary_dim < 2)) {
            config.fail("rotary positions need an even head size, not " +
                        std::to_string(rope->rotary_dim));
        }
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

std::vector<double> read_factors(const JsonReader& list, int64_t num_pairs) {
    std::vector<double> factors;
    for (const JsonReader& item : list.items()) {
        factors.push_back(item.number());
        if (!(factors.back() > 0)) item.fail("RoPE factor " + std::to_string(factors.back()));
    }
    if (static_cast<int64_t>(factors.size()) != num_pairs) {
        list.fail(std::to_string(factors.size()) + " factors for " + std::to_string(num_pairs) +
                  " rotary pairs");
    }
    return factors;
}

/// LongRoPE: a factor per pair, one list up to the original context and one beyond.
void read_longrope(const JsonReader& scaling, RopeConfig& rope, int64_t max_position_embeddings) {
    rope.short_factors = read_factors(scaling.at("short_factor"), rope.rotary_dim / 2);
    rope.long_factors = read_factors(scaling.at("long_factor"), rope.rotary_dim / 2);
    const auto original = static_cast<double>(rope.original_max_position_embeddings);
    const double factor =
        scaling.number_or("factor", static_cast<double>(max_position_embeddings) / original);
    const double from_factor =
        factor <= 1 || original <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(original));
    rope.attention_factor = scaling.number_or("attention_factor", from_factor);
}

void read_llama3(const JsonReader& scaling, RopeConfig& rope) {
    rope.low_freq_factor = scaling.number_or("low_freq_factor", 1);
    rope.high_freq_factor = scaling.number_or("high_freq_factor", 4);
    if (!(rope.high_freq_factor > rope.low_freq_factor)) {
        scaling.fail("high_freq_factor must be above low_freq_factor");
    }
}

/// `original` is the original context where `scaling` does not say it.
void read_scaling(const JsonReader& scaling, RopeConfig& rope, int64_t max_position_embeddings,
                  int64_t original) {
    const std::string type = scaling.string_or("rope_type", scaling.string_or("type", "default"));
    if (type == "default") return;
    rope.factor = scaling.number_or("factor", 1);
    if (!(rope.factor >= 1e-3)) scaling.fail("RoPE scaling factor " + std::to_string(rope.factor));
    rope.original_max_position_embeddings =
        scaling.integer_or("original_max_position_embeddings", original, 1, kMaxModelSize);
    if (type == "linear") {
        rope.scaling = RopeConfig::Scaling::kLinear;
    } else if (type == "llama3") {
        rope.scaling = RopeConfig::Scaling::kLlama3;
        read_llama3(scaling, rope);
    } else if (type == "longrope" || type == "su" || scaling.has("short_factor")) {
        // "su" and "yarn" are what the first checkpoints with two lists of factors called it.
        rope.scaling = RopeConfig::Scaling::kLongRope;
        read_longrope(scaling, rope, max_position_embeddings);
    } else if (type == "yarn") {
        rope.scaling = RopeConfig::Scaling::kYarn;
        read_yarn(scaling, rope);
    } else if (type == "dynamic") {
        rope.scaling = RopeConfig::Scaling::kDynamic;
        // The reference scales beyond this length, whatever the original context was.
        rope.original_max_position_embeddings = max_position_embeddings;
        if (rope.factor < 1) scaling.fail("dynamic RoPE scaling needs a factor of at least 1");
        if (rope.rotary_dim < 4) scaling.fail("dynamic RoPE scaling needs two rotary pairs");
    } else {
        throw UnsupportedError("RoPE scaling '" + type + "' is not supported", scaling.file(),
                               "known are default, linear, dynamic, llama3, yarn and longrope");
    }
}

}  // namespace

ModelConfig ModelConfig::read(const nlohmann::json& json, const std::string& path) {
    const JsonReader config(json, path);
    const std::string model_type = config.at("model_type").string();
    ModelConfig result = find_family(model_type, path).read_config(config);
    result.model_type = model_type;
    if (result.softmax_scale == 0)
        result.softmax_scale = 1 / std::sqrt(static_cast<double>(result.head_dim));
    if (const auto architectures = config.find("architectures"); architectures) {
        const auto names = architectures->items();
        if (!names.empty()) result.architecture = names.front().string();
    }
    check_heads(result, config);
    return result;
}

RopeConfig read_rope(const JsonReader& config, int64_t head_dim, int64_t max_position_embeddings,
                     const RopeDefaults& defaults) {
    RopeDefaults given = defaults;
    given.theta = config.number_or("rope_theta", defaults.theta);
    auto parameters = config.find("rope_parameters");
    if (!parameters) parameters = config.find("rope_scaling");
    return read_rope_parameters(config, parameters, head_dim, max_position_embeddings, given);
}

RopeConfig read_rope_parameters(const JsonReader& config,
                                const std::optional<JsonReader>& parameters, int64_t head_dim,
                                int64_t max_position_embeddings, const RopeDefaults& defaults) {
    RopeConfig rope;
    rope.theta = defaults.theta;
    double rotary_share = config.number_or("partial_rotary_factor", defaults.rotary_share);
    if (parameters) {
        rope.theta = parameters->number_or("rope_theta", rope.theta);
        rotary_share = parameters->number_or("partial_rotary_factor", rotary_share);
    }
    if (!(rope.theta > 1)) config.fail("rope_theta " + std::to_string(rope.theta));
    if (!(rotary_share > 0 && rotary_share <= 1)) {
        config.fail("partial_rotary_factor " + std::to_string(rotary_share));
    }
    rope.rotary_dim = static_cast<int64_t>(static_cast<double>(head_dim) * rotary_share);
    const int64_t fallback = defaults.original_max_position_embeddings > 0
                                 ? defaults.original_max_position_embeddings
                                 : max_position_embeddings;
    if (parameters) read_scaling(*parameters, rope, max_position_embeddings, fallback);
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

double read_switch(const JsonReader& config, const std::string& key, double fallback) {
    if (is_null(config, key)) return 0;
    const auto found = config.find(key);
    if (!found) return fallback;
    const double value = found->number();
    if (!(value >= 0 && value < kMaxSwitch))
        found->fail(std::to_string(value) + " is out of range");
    return value;
}

int64_t read_sliding_window(const JsonReader& config, int64_t fallback) {
    if (is_null(config, "sliding_window")) return 0;
    return config.integer_or("sliding_window", fallback, 1, kMaxModelSize);
}

std::vector<int64_t> read_sliding_windows(const JsonReader& config, int64_t window,
                                          const std::vector<bool>& slides) {
    std::vector<bool> chosen = slides;
    if (const auto types = config.find("layer_types"); types) {
        chosen.clear();
        for (const JsonReader& type : types->items()) {
            if (type.string() != "full_attention" && type.string() != "sliding_attention") {
                throw UnsupportedError("layer type '" + type.string() + "' is not supported",
                                       config.file(),
                                       "known are full_attention, sliding_attention");
            }
            chosen.push_back(type.string() == "sliding_attention");
        }
        if (chosen.size() != slides.size()) {
            types->fail(std::to_string(chosen.size()) + " layer_types for " +
                        std::to_string(slides.size()) + " layers");
        }
    }
    std::vector<int64_t> windows;
    windows.reserve(chosen.size());
    for (const bool slide : chosen) windows.push_back(slide ? window : 0);
    return windows;
}

}  // namespace lowkey
