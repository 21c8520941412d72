#include "io/quantization.h"

#include <array>
#include <string_view>

#include "io/json_reader.h"

namespace lowkey {
namespace {

struct Method {
    std::string_view key;   ///< of config.json, or the end of a tensor's name
    std::string_view name;  ///< as people say it
};

/// Values of quantization_config's quant_method.
constexpr std::array<Method, 12> kMethods = {{{"gptq", "GPTQ"},
                                              {"awq", "AWQ"},
                                              {"bitsandbytes", "bitsandbytes"},
                                              {"fp8", "FP8"},
                                              {"fbgemm_fp8", "FP8 (FBGEMM)"},
                                              {"compressed-tensors", "compressed-tensors"},
                                              {"mxfp4", "MXFP4"},
                                              {"aqlm", "AQLM"},
                                              {"hqq", "HQQ"},
                                              {"eetq", "EETQ"},
                                              {"quanto", "Quanto"},
                                              {"torchao", "torchao"}}};

/// Tensors that stand beside or instead of a quantized weight, the telling ones first.
constexpr std::array<Method, 14> kTensors = {
    {{".g_idx", "GPTQ"},
     {".qweight", "GPTQ or AWQ"},
     {".quant_state.bitsandbytes__nf4", "bitsandbytes NF4"},
     {".quant_state.bitsandbytes__fp4", "bitsandbytes FP4"},
     {".SCB", "bitsandbytes INT8"},
     {".absmax", "bitsandbytes"},
     {".weight_scale_inv", "FP8"},
     {".weight_packed", "compressed-tensors"},
     {".weight_shape", "compressed-tensors"},
     {".codebooks", "AQLM"},
     {".W_q", "HQQ"},
     {"_blocks", "MXFP4"},
     {".weight_scale", "FP8 or INT8"},
     {".scales", "scales beside its weights"}}};

/// "GPTQ, 4 bits" of quantization_config; it is read without trust, as far as it says anything.
std::string from_config(const nlohmann::json& config, const std::string& path) {
    const JsonReader reader(config, path);
    auto quantization = reader.find("quantization_config");
    if (!quantization) quantization = reader.find("compression_config");
    // What MLX writes.
    const bool is_mlx = !quantization && reader.has("quantization");
    if (is_mlx) quantization = reader.find("quantization");
    if (!quantization || !quantization->is_object()) return {};
    const auto method = quantization->find("quant_method");
    std::string text = is_mlx ? "MLX" : "a method that it does not name";
    if (method && method->is_string()) {
        text = method->string();
        for (const Method& known : kMethods) {
            if (known.key == text) text = known.name;
        }
    }
    const auto says = [&](const char* key) {
        return quantization->has(key) && quantization->at(key).is_boolean() &&
               quantization->at(key).boolean();
    };
    if (says("load_in_4bit")) {
        const auto type = quantization->find("bnb_4bit_quant_type");
        text += type && type->is_string() ? ", 4 bits, " + type->string() : ", 4 bits";
    } else if (says("load_in_8bit")) {
        text += ", 8 bits";
    }
    for (const char* key : {"bits", "w_bit"}) {
        const auto bits = quantization->find(key);
        if (bits && bits->is_number()) text += ", " + bits->value().dump() + " bits";
    }
    return text;
}

std::string from_tensors(const Checkpoint& checkpoint) {
    const std::vector<std::string> names = checkpoint.names();
    for (const Method& method : kTensors) {
        for (const std::string& name : names) {
            if (name.ends_with(method.key)) return std::string(method.name);
        }
    }
    for (const std::string& name : names) {
        const std::string dtype = checkpoint.stored_dtype(name);
        if (dtype.starts_with("F8_")) return "FP8";
        if (dtype.starts_with("F4") || dtype.starts_with("F6_")) return dtype;
    }
    return {};
}

}  // namespace

std::string quantization_of(const Checkpoint& checkpoint) {
    const std::string said = from_config(checkpoint.config(), checkpoint.config_path());
    return said.empty() ? from_tensors(checkpoint) : said;
}

}  // namespace lowkey
