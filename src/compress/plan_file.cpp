#include "compress/plan_file.h"

#include <fmt/format.h>

#include <map>

#include "base/error.h"
#include "io/fingerprint.h"
#include "io/json_reader.h"
#include "io/safetensors.h"

namespace lowkey {
namespace {

using nlohmann::json;

constexpr const char* kMetadataKey = "lowkey.plan";
constexpr int64_t kVersion = 1;
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeads = 65536;

json to_json(const Settings& settings) {
    json out = json::object();
    for (const auto& [name, value] : settings) {
        std::visit([&, &key = name](const auto& v) { out[key] = v; }, value);
    }
    return out;
}

Settings settings_from(const JsonReader& reader) {
    Settings settings;
    for (const auto& [name, value] : reader.members()) {
        const json& v = value.value();
        if (v.is_boolean()) {
            settings[name] = v.get<bool>();
        } else if (v.is_number_integer()) {
            settings[name] = value.integer(INT64_MIN, INT64_MAX);
        } else if (v.is_number()) {
            settings[name] = value.number();
        } else {
            settings[name] = value.string();
        }
    }
    return settings;
}

/// Gives each distinct tensor one name: the first place that uses it.
class TensorNames {
public:
    std::string name(const std::shared_ptr<const Tensor>& tensor, const std::string& wanted) {
        const auto [place, added] = names_.try_emplace(tensor.get(), wanted);
        if (added) tensors_.emplace(wanted, tensor->view());
        return place->second;
    }
    [[nodiscard]] const std::map<std::string, TensorView>& tensors() const { return tensors_; }

private:
    std::map<const Tensor*, std::string> names_;
    std::map<std::string, TensorView> tensors_;
};

json to_json(const CodecSpec& spec, const std::string& where, TensorNames& names) {
    json tensors = json::object();
    for (const auto& [key, tensor] : spec.tensors)
        tensors[key] = names.name(tensor, fmt::format("{}.{}", where, key));
    json out = {{"codec", spec.name}};
    if (!spec.settings.empty()) out["settings"] = to_json(spec.settings);
    if (!tensors.empty()) out["tensors"] = std::move(tensors);
    return out;
}

json to_json(const PlanFile& file, TensorNames& names) {
    json layers = json::array();
    for (size_t layer = 0; layer < file.plan.layers.size(); ++layer) {
        json heads = json::array();
        for (size_t h = 0; h < file.plan.layers[layer].size(); ++h) {
            const HeadPlan& head = file.plan.layers[layer][h];
            const std::string where =
                "layers." + std::to_string(layer) + ".kv_heads." + std::to_string(h);
            json policy = {{"name", head.policy.name}};
            if (!head.policy.settings.empty()) policy["settings"] = to_json(head.policy.settings);
            heads.push_back({{"policy", std::move(policy)},
                             {"exact_sinks", head.exact_sinks},
                             {"key", to_json(head.key, where + ".key", names)},
                             {"value", to_json(head.value, where + ".value", names)}});
        }
        layers.push_back({{"kv_heads", std::move(heads)}});
    }
    const bool exact = file.plan.prefill_attention == PrefillAttention::kExact;
    return {{"version", kVersion},
            {"method", file.method},
            {"fingerprint", file.fingerprint},
            {"head_dim", file.head_dim},
            {"prefill_attention", exact ? "exact" : "compressed"},
            {"settings", file.settings},
            {"measured", file.measured},
            {"layers", std::move(layers)}};
}

/// Tensors of a plan's file, each copied out once however many heads share it.
class TensorReader {
public:
    explicit TensorReader(const SafetensorsFile& file) : file_(file) {}
    std::shared_ptr<const Tensor> read(const JsonReader& name) {
        const std::string key = name.string();
        std::shared_ptr<const Tensor>& tensor = tensors_[key];
        if (tensor == nullptr) {
            if (!file_.contains(key))
                name.fail("the plan names a tensor '" + key + "' that is not in the file");
            const TensorView& view = file_.tensor(key, DType::kF32, {-1, -1});
            tensor = std::make_shared<const Tensor>(Tensor::convert(view, DType::kF32));
        }
        return tensor;
    }

private:
    const SafetensorsFile& file_;
    std::map<std::string, std::shared_ptr<const Tensor>> tensors_;
};

CodecSpec codec_from(const JsonReader& reader, TensorReader& tensors) {
    CodecSpec spec;
    spec.name = reader.at("codec").string();
    if (const auto settings = reader.find("settings"); settings)
        spec.settings = settings_from(*settings);
    if (const auto named = reader.find("tensors"); named) {
        for (const auto& [key, name] : named->members()) spec.tensors[key] = tensors.read(name);
    }
    return spec;
}

HeadPlan head_from(const JsonReader& reader, TensorReader& tensors) {
    HeadPlan head;
    const JsonReader policy = reader.at("policy");
    head.policy.name = policy.at("name").string();
    if (const auto settings = policy.find("settings"); settings)
        head.policy.settings = settings_from(*settings);
    head.exact_sinks = reader.integer_or("exact_sinks", 0, 0, kMaxHeads);
    head.key = codec_from(reader.at("key"), tensors);
    head.value = codec_from(reader.at("value"), tensors);
    return head;
}

}  // namespace

json plan_to_json(const PlanFile& file) {
    TensorNames names;
    return to_json(file, names);
}

void write_plan(const std::string& path, const PlanFile& file) {
    TensorNames names;
    const json document = to_json(file, names);
    write_safetensors(path, names.tensors(),
                      {{"format", "lowkey"}, {kMetadataKey, document.dump()}});
}

PlanFile read_plan(const std::string& path) {
    const SafetensorsFile file(path);
    const auto text = file.metadata().find(kMetadataKey);
    if (text == file.metadata().end()) {
        throw FileError("not a plan file (no metadata '" + std::string(kMetadataKey) + "')", path,
                        "give a file that `lowkey plan` wrote");
    }
    const json document = parse_json(text->second, path);
    const JsonReader reader(document, path);
    if (const int64_t version = reader.at("version").integer(0, INT64_MAX); version != kVersion) {
        reader.fail("plan file of version " + std::to_string(version) +
                        ", this lowkey reads version " + std::to_string(kVersion),
                    "make the plan again with this lowkey");
    }
    PlanFile out;
    out.method = reader.at("method").string();
    out.fingerprint = reader.at("fingerprint").string();
    out.head_dim = reader.at("head_dim").integer(1, kMaxHeads);
    const JsonReader mode = reader.at("prefill_attention");
    if (mode.string() != "exact" && mode.string() != "compressed") {
        mode.fail("prefill attention '" + mode.string() + "' is neither exact nor compressed");
    }
    out.plan.prefill_attention =
        mode.string() == "exact" ? PrefillAttention::kExact : PrefillAttention::kCompressed;
    if (const auto settings = reader.find("settings"); settings) out.settings = settings->value();
    if (const auto measured = reader.find("measured"); measured) out.measured = measured->value();

    TensorReader tensors(file);
    const auto layers = reader.at("layers").items();
    if (layers.empty() || static_cast<int64_t>(layers.size()) > kMaxLayers)
        reader.fail("a plan without layers");
    for (const JsonReader& layer : layers) {
        const auto heads = layer.at("kv_heads").items();
        if (heads.empty() || static_cast<int64_t>(heads.size()) > kMaxHeads)
            layer.fail("a layer without KV heads");
        std::vector<HeadPlan>& plans = out.plan.layers.emplace_back();
        for (const JsonReader& head : heads) plans.push_back(head_from(head, tensors));
    }
    return out;
}

CacheLayout plan_layout(const PlanFile& file) {
    CacheShape shape;
    shape.head_dim = file.head_dim;
    for (const auto& heads : file.plan.layers) {
        shape.layers.emplace_back(heads.size(), CacheShape::Head{file.head_dim, file.head_dim});
    }
    return {file.plan, shape};
}

PlanBytes plan_bytes(const PlanFile& file, int64_t num_tokens) {
    const CacheLayout layout = plan_layout(file);
    return {layout.bytes_for(num_tokens), layout.bytes_full(num_tokens)};
}

void check_plan_fits(const PlanFile& file, const std::string& path, const Model& model) {
    const auto& layers = file.plan.layers;
    const ModelConfig& config = model.config();
    const auto refuse = [&](const std::string& difference) {
        throw UsageError("plan made for another model", path + " " + difference,
                         "run `lowkey plan` for this model");
    };
    if (static_cast<int64_t>(layers.size()) != config.num_layers) {
        refuse("has " + std::to_string(layers.size()) + " layers, the model " +
               std::to_string(config.num_layers));
    }
    for (size_t layer = 0; layer < layers.size(); ++layer) {
        if (static_cast<int64_t>(layers[layer].size()) != config.num_kv_heads) {
            refuse("has " + std::to_string(layers[layer].size()) + " KV heads in layer " +
                   std::to_string(layer) + ", the model " + std::to_string(config.num_kv_heads));
        }
    }
    if (!same_checkpoint(file.fingerprint, model.fingerprint()))
        refuse(describe_difference(file.fingerprint, model.fingerprint()));
}

}  // namespace lowkey
