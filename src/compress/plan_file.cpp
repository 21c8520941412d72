#include "compress/plan_file.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <map>

#include "base/error.h"
#include "base/hash.h"
#include "base/size.h"
#include "compress/known_members.h"
#include "io/fingerprint.h"
#include "io/json_reader.h"
#include "io/safetensors.h"

namespace lowkey {
namespace {

using nlohmann::json;

constexpr const char* kMetadataKey = "lowkey.plan";
constexpr int64_t kVersion = 2;  // version 1 is read, too
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeads = 65536;  // of all layers
constexpr int64_t kMaxHeadDim = 4096;
// Heads may share a tensor, but each codec holds its own form of it: a small file must not take all
// memory.
constexpr int64_t kMaxTensorBytes = int64_t{1} << 32;

/// What planners say that they measured. Reports and inspect read some of it.
constexpr std::initializer_list<const char*> kMeasured = {
    "keep",      "page_share",      "layers",       "nll",  "kl",        "tried",
    "threshold", "thresholds",      "error_budget", "bits", "induction", "echo",
    "tokens",    "retrieval_heads", "alibi_bound"};

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

/// What the JSON says of a tensor; `wanted` is a name that is free.
using TensorText = std::function<std::string(const std::shared_ptr<const Tensor>& tensor,
                                             const std::string& wanted)>;

json to_json(const CodecPart& part, const std::string& where, const TensorText& text_of) {
    json tensors = json::object();
    for (const auto& [key, tensor] : part.tensors)
        tensors[key] = text_of(tensor, fmt::format("{}.{}", where, key));
    json out = {{"name", part.name}};
    if (!part.settings.empty()) out["settings"] = to_json(part.settings);
    if (!tensors.empty()) out["tensors"] = std::move(tensors);
    return out;
}

json to_json(const CodecSpec& spec, const std::string& where, const TensorText& text_of) {
    return {{"map", to_json(spec.map, where, text_of)},
            {"store", to_json(spec.store, where + ".store", text_of)}};
}

json layers_to_json(const PlanFile& file, const TensorText& text_of) {
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
                             {"exact_recent", head.exact_recent},
                             {"key", to_json(head.key, where + ".key", text_of)},
                             {"value", to_json(head.value, where + ".value", text_of)}});
        }
        layers.push_back({{"kv_heads", std::move(heads)}});
    }
    return layers;
}

const char* mode_name(const PlanFile& file) {
    return file.plan.prefill_attention == PrefillAttention::kExact ? "exact" : "compressed";
}

json to_json(const PlanFile& file, TensorNames& names) {
    const auto name = [&](const std::shared_ptr<const Tensor>& tensor, const std::string& wanted) {
        return names.name(tensor, wanted);
    };
    json out = {{"version", kVersion},
                {"method", file.method},
                {"fingerprint", file.fingerprint},
                {"head_dim", file.head_dim},
                {"prefill_attention", mode_name(file)},
                {"settings", file.settings},
                {"measured", json::object()},
                {"layers", layers_to_json(file, name)}};
    if (!file.measured.empty() && file.measured_on == cache_hash(file)) {
        out["measured"] = file.measured;
        out["measured_on"] = file.measured_on;
    }
    return out;
}

/// The first number that is not finite, as ".layers[3].error"; empty when all are.
std::string not_finite(const json& value) {
    if (value.is_number_float()) return std::isfinite(value.get<double>()) ? "" : " ";
    if (!value.is_structured()) return "";
    for (const auto& [key, member] : value.items()) {
        const std::string inner = not_finite(member);
        if (inner.empty()) continue;
        return (value.is_array() ? "[" + key + "]" : "." + key) + (inner == " " ? "" : inner);
    }
    return "";
}

/// Tensors of a plan's file, each copied out once however many heads share it.
class TensorReader {
public:
    explicit TensorReader(const SafetensorsFile& file) : file_(file) {}
    std::shared_ptr<const Tensor> read(const JsonReader& name) {
        const std::string key = name.string();
        std::shared_ptr<const Tensor>& tensor = tensors_[key];
        if (tensor == nullptr) tensor = load(key, name);
        bytes_ += tensor->view().bytes();
        if (bytes_ > kMaxTensorBytes) {
            name.fail("the heads' tensors take more than " + format_bytes(kMaxTensorBytes));
        }
        return tensor;
    }
    /// Refuses tensors that no head reads.
    void finish() const {
        for (const auto& [key, tensor] : file_.unsupported()) refuse(key);
        for (const auto& [key, tensor] : file_.tensors()) {
            if (tensors_.count(key) == 0) refuse(key);
        }
    }

private:
    [[noreturn]] void refuse(const std::string& key) const {
        throw FileError("the plan has no use for the tensor '" + key + "'", file_.path(),
                        "make the plan again");
    }
    [[nodiscard]] std::shared_ptr<const Tensor> load(const std::string& key,
                                                     const JsonReader& name) const {
        if (!file_.contains(key))
            name.fail("the plan names a tensor '" + key + "' that is not in the file");
        Tensor tensor = Tensor::convert(file_.tensor(key, DType::kF32, {-1, -1}), DType::kF32);
        for (const float x : tensor.f32()) {
            if (!std::isfinite(x)) name.fail("not finite: a number of the tensor '" + key + "'");
        }
        return std::make_shared<const Tensor>(std::move(tensor));
    }

    const SafetensorsFile& file_;
    std::map<std::string, std::shared_ptr<const Tensor>> tensors_;
    int64_t bytes_ = 0;
};

void read_part(const JsonReader& reader, TensorReader& tensors, CodecPart& part) {
    if (const auto settings = reader.find("settings"); settings)
        part.settings = settings_from(*settings);
    if (const auto named = reader.find("tensors"); named) {
        for (const auto& [key, name] : named->members()) part.tensors[key] = tensors.read(name);
    }
}

/// Version 1: a name for map and store, and the settings of both.
CodecSpec flat_codec_from(const JsonReader& reader, TensorReader& tensors) {
    refuse_unknown_members(reader, {"codec", "settings", "tensors"});
    const std::string name = reader.at("codec").string();
    CodecPart flat{name};
    read_part(reader, tensors, flat);
    CodecSpec spec;
    if (name == "dense") {
        flat.name = spec.store.name;
        spec.store = std::move(flat);
        return spec;
    }
    flat.name = name == "low_rank" ? "linear" : name;
    if (const auto dtype = flat.settings.find("dtype"); dtype != flat.settings.end())
        spec.store.settings.insert(flat.settings.extract(dtype));
    spec.map = std::move(flat);
    return spec;
}

CodecSpec codec_from(const JsonReader& reader, TensorReader& tensors) {
    if (reader.find("codec")) return flat_codec_from(reader, tensors);
    refuse_unknown_members(reader, {"map", "store"});
    CodecSpec spec;
    for (const auto& [name, part] : {std::pair("map", &spec.map), {"store", &spec.store}}) {
        const auto own = reader.find(name);
        if (!own) continue;
        refuse_unknown_members(*own, {"name", "settings", "tensors"});
        part->name = own->at("name").string();
        read_part(*own, tensors, *part);
    }
    return spec;
}

HeadPlan head_from(const JsonReader& reader, TensorReader& tensors) {
    refuse_unknown_members(reader, {"policy", "exact_sinks", "exact_recent", "key", "value"});
    HeadPlan head;
    const JsonReader policy = reader.at("policy");
    refuse_unknown_members(policy, {"name", "settings"});
    head.policy.name = policy.at("name").string();
    if (const auto settings = policy.find("settings"); settings)
        head.policy.settings = settings_from(*settings);
    head.exact_sinks = reader.integer_or("exact_sinks", 0, 0, kMaxSinks);
    head.exact_recent = reader.integer_or("exact_recent", 0, 0, kMaxRecent);
    head.key = codec_from(reader.at("key"), tensors);
    head.value = codec_from(reader.at("value"), tensors);
    return head;
}

/// What says how a plan was made: scalars, and for composed plans their parts. Names are free:
/// other programs record their own.
void check_settings_of(const JsonReader& settings) {
    for (const auto& [name, value] : settings.members()) {
        if (name == "parts") {
            for (const JsonReader& part : value.items()) {
                refuse_unknown_members(part, {"plan", "method", "settings"});
                static_cast<void>(part.at("method").string());
                static_cast<void>(part.string_or("plan", ""));
                if (const auto own = part.find("settings"); own) check_settings_of(*own);
            }
        } else if (name == "calibration") {
            static_cast<void>(settings_from(value));
        } else if (value.is_array() || value.is_object() || value.is_null()) {
            value.fail("a setting that is no number, text, true or false");
        }
    }
}

/// The plan's own reading of what it was measured on; leaves `measured` empty where that is another
/// cache.
void read_measured(const JsonReader& reader, PlanFile& out) {
    const auto measured = reader.find("measured");
    const auto on = reader.find("measured_on");
    if (!measured) return;
    refuse_unknown_members(*measured, kMeasured);
    if (const auto layers = measured->find("layers"); layers) {
        for (const JsonReader& layer : layers->items())
            refuse_unknown_members(layer,
                                   {"key_ranks", "value_ranks", "key_bits", "value_bits", "error"});
    }
    if (measured->value().empty()) return;
    const std::string hash = on ? on->string() : "";
    if (hash != cache_hash(out)) {
        out.notice = hash.empty() ? "its measurements do not say which plan they were made on"
                                  : "its measurements were made on another plan";
        out.notice += " and are left out; make the plan again to have them";
        return;
    }
    out.measured = measured->value();
    out.measured_on = hash;
}

/// A head as version 1 writes it, where it can: the hash of what such a plan was measured on stays.
void as_in_version_1(json& head) {
    if (head.at("exact_recent") == 0) head.erase("exact_recent");
    for (const char* name : {"key", "value"}) {
        json& codec = head.at(name);
        json& map = codec.at("map");
        const json& store = codec.at("store");
        if (store.at("name") != "float") continue;
        if (map.at("name") == "identity") {
            json flat = store;
            flat.erase("name");
            flat["codec"] = "dense";
            codec = std::move(flat);
        } else if (map.at("name") == "linear" && !map.at("tensors").contains("mean")) {
            json flat = map;
            flat.erase("name");
            flat["codec"] = "low_rank";
            if (store.contains("settings")) flat["settings"].update(store.at("settings"));
            codec = std::move(flat);
        }
    }
}

}  // namespace

std::string cache_hash(const PlanFile& file) {
    std::map<const Tensor*, std::string> hashes;
    const auto hash_of = [&](const std::shared_ptr<const Tensor>& tensor, const std::string&) {
        std::string& hash = hashes[tensor.get()];
        if (hash.empty()) {
            Hasher hasher;
            const TensorView view = tensor->view();
            hasher.add(
                {static_cast<const std::byte*>(view.data), static_cast<size_t>(view.bytes())});
            hash = to_string(view.shape) + hasher.hex();
        }
        return hash;
    };
    json layers = layers_to_json(file, hash_of);
    for (json& layer : layers) {
        for (json& head : layer.at("kv_heads")) as_in_version_1(head);
    }
    const json document = {{"fingerprint", file.fingerprint},
                           {"head_dim", file.head_dim},
                           {"prefill_attention", mode_name(file)},
                           {"layers", std::move(layers)}};
    Hasher hasher;
    hasher.add(document.dump(-1, ' ', false, json::error_handler_t::replace));
    return hasher.hex();
}

void record_measured(PlanFile& file, json measured) {
    if (const std::string place = not_finite(measured); !place.empty()) {
        throw Error("not finite: what was measured, " + place.substr(1), "",
                    "the checkpoint or the statistics are broken");
    }
    file.measured = std::move(measured);
    file.measured_on = file.measured.empty() ? "" : cache_hash(file);
}

void forget_measured(PlanFile& file) {
    file.measured = json::object();
    file.measured_on.clear();
}

json plan_to_json(const PlanFile& file) {
    TensorNames names;
    return to_json(file, names);
}

void write_plan(const std::string& path, const PlanFile& file) {
    TensorNames names;
    const json document = to_json(file, names);
    std::string text;
    try {
        text = document.dump();
    } catch (const json::exception&) {
        throw UsageError("text that is not UTF-8", path,
                         "name the plan's method, policies, codecs and settings in UTF-8");
    }
    write_safetensors(path, names.tensors(), {{"format", "lowkey"}, {kMetadataKey, text}});
}

PlanFile read_plan(const std::string& path) {
    const SafetensorsFile file(path);
    const auto text = file.metadata().find(kMetadataKey);
    if (text == file.metadata().end()) {
        throw FileError("not a plan file (no metadata '" + std::string(kMetadataKey) + "')", path,
                        "give a file that `lowkey plan` wrote");
    }
    const json document = parse_json(text->second, path, DuplicateKeys::kRefuse);
    const JsonReader reader(document, path);
    if (const int64_t version = reader.at("version").integer(0, INT64_MAX);
        version < 1 || version > kVersion) {
        reader.fail("plan file of version " + std::to_string(version) +
                        ", this lowkey reads versions up to " + std::to_string(kVersion),
                    "make the plan again with this lowkey");
    }
    refuse_unknown_members(
        reader, {"version", "method", "fingerprint", "head_dim", "prefill_attention", "settings",
                 "measured", "measured_on", "layers"});
    PlanFile out;
    out.path = path;
    out.method = reader.at("method").string();
    out.fingerprint = reader.at("fingerprint").string();
    out.head_dim = reader.at("head_dim").integer(1, kMaxHeadDim);
    const JsonReader mode = reader.at("prefill_attention");
    if (mode.string() != "exact" && mode.string() != "compressed") {
        mode.fail("prefill attention '" + mode.string() + "' is neither exact nor compressed");
    }
    out.plan.prefill_attention =
        mode.string() == "exact" ? PrefillAttention::kExact : PrefillAttention::kCompressed;
    if (const auto settings = reader.find("settings"); settings) {
        check_settings_of(*settings);
        out.settings = settings->value();
    }

    TensorReader tensors(file);
    const auto layers = reader.at("layers").items();
    if (layers.empty() || static_cast<int64_t>(layers.size()) > kMaxLayers)
        reader.fail("a plan of " + std::to_string(layers.size()) + " layers");
    for (const JsonReader& layer : layers) {
        refuse_unknown_members(layer, {"kv_heads"});
        const auto heads = layer.at("kv_heads").items();
        if (heads.empty() || std::ssize(heads) * std::ssize(layers) > kMaxHeads)
            layer.fail("a layer of " + std::to_string(heads.size()) + " KV heads");
        if (!out.plan.layers.empty() && heads.size() != out.plan.layers.front().size()) {
            layer.fail("a layer of " + std::to_string(heads.size()) + " KV heads, the first has " +
                       std::to_string(out.plan.layers.front().size()));
        }
        std::vector<HeadPlan>& plans = out.plan.layers.emplace_back();
        for (const JsonReader& head : heads) plans.push_back(head_from(head, tensors));
    }
    tensors.finish();
    try {
        static_cast<void>(plan_layout(out));
    } catch (const Error& e) {
        reader.fail(std::string("a cache that no model could run (") + e.what() + ")",
                    "make the plan again with this lowkey");
    }
    read_measured(reader, out);
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
