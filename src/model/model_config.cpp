#include "model/model_config.h"

#include <array>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "model/family.h"

namespace lowkey {
namespace {

// Scales and caps beyond this are mistakes, and would overflow.
constexpr double kMaxSwitch = 1e9;

/// Names of layers that newer files use as keys of rope_parameters.
constexpr std::array<const char*, 2> kLayerTypes = {"full_attention", "sliding_attention"};

/// A number in (0, kMaxSwitch).
double read_positive(const JsonReader& number) {
    const double value = number.number();
    if (!(value > 0 && value < kMaxSwitch)) {
        number.fail("expected a number above 0 and below 1e9, got " + std::to_string(value));
    }
    return value;
}
double read_positive_or(const JsonReader& object, const std::string& key, double fallback) {
    const auto found = object.find(key);
    return found ? read_positive(*found) : fallback;
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
    rope.beta_fast = read_switch(scaling, "beta_fast", 0);
    rope.beta_slow = read_switch(scaling, "beta_slow", 0);
    if (rope.beta_fast == 0) rope.beta_fast = 32;
    if (rope.beta_slow == 0) rope.beta_slow = 1;
    rope.truncate = scaling.boolean_or("truncate", true);
    const double mscale = read_switch(scaling, "mscale", 0);
    const double mscale_all_dim = read_switch(scaling, "mscale_all_dim", 0);
    const double from_factor =
        mscale != 0 && mscale_all_dim != 0
            ? yarn_mscale(rope.factor, mscale) / yarn_mscale(rope.factor, mscale_all_dim)
            : yarn_mscale(rope.factor, 1);
    rope.attention_factor = read_positive_or(scaling, "attention_factor", from_factor);
}

std::vector<double> read_factors(const JsonReader& list, int64_t num_pairs) {
    std::vector<double> factors;
    for (const JsonReader& item : list.items()) {
        factors.push_back(item.number());
        if (!(factors.back() > 0 && factors.back() < kMaxSwitch))
            item.fail("RoPE factor " + std::to_string(factors.back()));
    }
    if (static_cast<int64_t>(factors.size()) != num_pairs) {
        list.fail(std::to_string(factors.size()) + " factors for " + std::to_string(num_pairs) +
                  " rotary pairs");
    }
    return factors;
}

/// LongRoPE: a factor per pair, one list up to the original context and one beyond.
void read_longrope(const JsonReader& scaling, RopeConfig& rope) {
    rope.short_factors = read_factors(scaling.at("short_factor"), rope.rotary_dim / 2);
    rope.long_factors = read_factors(scaling.at("long_factor"), rope.rotary_dim / 2);
    const auto original = static_cast<double>(rope.original_max_position_embeddings);
    const double from_factor = rope.factor <= 1 || original <= 1
                                   ? 1
                                   : std::sqrt(1 + std::log(rope.factor) / std::log(original));
    rope.attention_factor = read_positive_or(scaling, "attention_factor", from_factor);
}

void read_llama3(const JsonReader& scaling, RopeConfig& rope) {
    rope.low_freq_factor = read_positive(scaling.at("low_freq_factor"));
    rope.high_freq_factor = read_positive(scaling.at("high_freq_factor"));
    if (!(rope.high_freq_factor > rope.low_freq_factor)) {
        scaling.fail("high_freq_factor must be above low_freq_factor");
    }
}

/// The context that a model was trained on before its positions were scaled. The key beside the
/// scaling overrules that in it.
int64_t read_original_context(const JsonReader& config, const JsonReader& scaling,
                              int64_t max_position_embeddings, const RopeDefaults& defaults) {
    constexpr char kKey[] = "original_max_position_embeddings";
    if (config.has(kKey)) return config.at(kKey).integer(1, kMaxModelSize);
    if (defaults.original_max_position_embeddings > 0)
        return defaults.original_max_position_embeddings;
    return scaling.integer_or(kKey, max_position_embeddings, 1, kMaxModelSize);
}

/// The factor of a scaling, without which there is none. Where it may be left open, it follows from
/// the two contexts.
double read_factor(const JsonReader& scaling, const std::string& type, double from_contexts) {
    const bool may_be_open = type == "longrope" || (type == "yarn" && is_null(scaling, "factor"));
    const double factor =
        may_be_open && !scaling.has("factor") ? from_contexts : scaling.at("factor").number();
    if (!(factor >= 1e-3 && factor < kMaxSwitch))
        scaling.fail("RoPE scaling factor " + std::to_string(factor));
    return factor;
}

void read_scaling(const JsonReader& config, const JsonReader& scaling, RopeConfig& rope,
                  int64_t max_position_embeddings, const RopeDefaults& defaults) {
    std::string type = scaling.string_or("rope_type", scaling.string_or("type", "default"));
    if (type == "default") return;
    // "su" and "yarn" are what the first checkpoints with two lists of factors called it.
    if (type == "su" || scaling.has("short_factor")) type = "longrope";
    struct Row {
        const char* type;
        RopeConfig::Scaling scaling;
    };
    constexpr std::array<Row, 5> kScalings = {{{"linear", RopeConfig::Scaling::kLinear},
                                               {"dynamic", RopeConfig::Scaling::kDynamic},
                                               {"llama3", RopeConfig::Scaling::kLlama3},
                                               {"yarn", RopeConfig::Scaling::kYarn},
                                               {"longrope", RopeConfig::Scaling::kLongRope}}};
    for (const Row& row : kScalings) {
        if (type == row.type) rope.scaling = row.scaling;
    }
    if (rope.scaling == RopeConfig::Scaling::kNone) {
        throw UnsupportedError("RoPE scaling '" + type + "' is not supported", scaling.file(),
                               "known are default, linear, dynamic, llama3, yarn and longrope");
    }
    rope.original_max_position_embeddings =
        read_original_context(config, scaling, max_position_embeddings, defaults);
    rope.factor = read_factor(scaling, type,
                              static_cast<double>(max_position_embeddings) /
                                  static_cast<double>(rope.original_max_position_embeddings));
    if (rope.scaling == RopeConfig::Scaling::kLlama3) read_llama3(scaling, rope);
    if (rope.scaling == RopeConfig::Scaling::kLongRope) read_longrope(scaling, rope);
    if (rope.scaling == RopeConfig::Scaling::kYarn) read_yarn(scaling, rope);
    if (rope.scaling == RopeConfig::Scaling::kDynamic) {
        // The reference scales beyond this length, whatever the original context was.
        rope.original_max_position_embeddings = max_position_embeddings;
        if (rope.factor < 1) scaling.fail("dynamic RoPE scaling needs a factor of at least 1");
        if (rope.rotary_dim < 4) scaling.fail("dynamic RoPE scaling needs two rotary pairs");
    }
}

/// Refuses what `scaling` (rope_scaling) would silently take away by replacing `parameters`.
void check_nothing_is_lost(const JsonReader& config, const JsonReader& scaling,
                           const JsonReader& parameters, const RopeDefaults& defaults) {
    for (const auto& [key, fallback] :
         {std::pair("rope_theta", defaults.theta),
          std::pair("partial_rotary_factor", defaults.rotary_share)}) {
        const auto lost = parameters.find(key);
        if (!lost) continue;
        const double taken = scaling.number_or(key, config.number_or(key, fallback));
        if (lost->number() == taken) continue;
        parameters.fail(std::string("rope_scaling replaces rope_parameters, and with it ") + key +
                            " " + lost->value().dump(),
                        std::string("write ") + key +
                            " into rope_scaling, or all into "
                            "rope_parameters");
    }
}

void refuse_layer_types(const JsonReader& parameters) {
    for (const char* type : kLayerTypes) {
        if (!parameters.has(type)) continue;
        throw UnsupportedError(
            std::string("RoPE parameters of ") + type + " layers are not known for this family",
            parameters.file(), "write the parameters of all layers at once");
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

bool is_null(const JsonReader& config, const std::string& key) {
    return config.value().is_object() && config.value().contains(key) &&
           config.value().at(key).is_null();
}

double read_norm_eps(const JsonReader& config, const std::string& key, double fallback) {
    const auto found = config.find(key);
    if (!found) return fallback;
    const double eps = found->number();
    if (!(eps >= 0 && eps <= 1)) found->fail("expected a small number, got " + std::to_string(eps));
    return eps;
}

std::optional<JsonReader> find_rope_object(const JsonReader& config, const std::string& key) {
    auto found = config.find(key);
    if (!found) return std::nullopt;
    if (!found->is_object()) found->fail("expected an object");
    if (found->value().empty()) return std::nullopt;
    return found;
}

RopeConfig read_rope(const JsonReader& config, int64_t head_dim, int64_t max_position_embeddings,
                     const RopeDefaults& defaults) {
    const auto parameters = find_rope_object(config, "rope_parameters");
    const auto scaling = find_rope_object(config, "rope_scaling");
    for (const auto& object : {parameters, scaling}) {
        if (object) refuse_layer_types(*object);
    }
    if (parameters && scaling) check_nothing_is_lost(config, *scaling, *parameters, defaults);
    RopeDefaults given = defaults;
    given.theta = config.number_or("rope_theta", defaults.theta);
    return read_rope_parameters(config, scaling ? scaling : parameters, head_dim,
                                max_position_embeddings, given);
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
    if (!(rope.theta > 1 && rope.theta < 1e30)) {
        config.fail("rope_theta " + nlohmann::json(rope.theta).dump());
    }
    if (!(rotary_share > 0 && rotary_share <= 1)) {
        config.fail("partial_rotary_factor " + std::to_string(rotary_share));
    }
    if (rotary_share != 1 && !defaults.may_be_partial) {
        throw UnsupportedError(
            "partial_rotary_factor " + std::to_string(rotary_share) + " in a family without it",
            config.file(), "check model_type, or take the key out");
    }
    rope.rotary_dim = static_cast<int64_t>(static_cast<double>(head_dim) * rotary_share);
    if (parameters) read_scaling(config, *parameters, rope, max_position_embeddings, defaults);
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
            const std::string name = type.string();
            // "attention" is what older files call the first.
            if (name != "full_attention" && name != "attention" && name != "sliding_attention") {
                throw UnsupportedError("layer type '" + name + "' is not supported", config.file(),
                                       "known are full_attention, sliding_attention");
            }
            chosen.push_back(name == "sliding_attention");
            if (chosen.back() && window == 0) {
                type.fail("a layer with a sliding window, but no sliding_window",
                          "add the key, or name the layer full_attention");
            }
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
