#include "io/safetensors_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <set>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "io/json_reader.h"

namespace lowkey {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kSampleBytes = 256;
constexpr char kIndexName[] = "model.safetensors.index.json";
constexpr char kDownloadAgain[] = "download the model again";

// Keys of config.json that leave the logits of a given token sequence as they are. Saving a model
// again with another version of transformers changes many of them.
constexpr std::array<std::string_view, 44> kCosmeticKeys = {
    "_attn_implementation",
    "_commit_hash",
    "_name_or_path",
    "activation_dropout",
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "begin_suppress_tokens",
    "bos_token_id",
    "decoder_start_token_id",
    "do_sample",
    "dropout",
    "dtype",
    "embd_pdrop",
    "emb_pdrop",
    "eos_token_id",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "id2label",
    "init_device",
    "init_std",
    "initializer_range",
    "label2id",
    "layerdrop",
    "max_length",
    "name_or_path",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "resid_pdrop",
    "return_dict",
    "task_specific_params",
    "torch_dtype",
    "transformers_version",
    "unk_token_id",
    "use_cache",
};

bool is_cosmetic(const std::string& key) {
    return std::find(kCosmeticKeys.begin(), kCosmeticKeys.end(), key) != kCosmeticKeys.end();
}

// The config reduced to what changes the computation, so that equal models give equal text: no
// cosmetic keys, no nulls (the same as absent), 10000.0 as 10000. Its depth was limited by
// parse_json.
json canonical(const json& value) {
    if (value.is_object()) {
        json out = json::object();
        for (const auto& [key, member] : value.items()) {
            if (!member.is_null() && !is_cosmetic(key)) out[key] = canonical(member);
        }
        return out;
    }
    if (value.is_array()) {
        json out = json::array();
        for (const json& element : value) out.push_back(canonical(element));
        return out;
    }
    if (value.is_number_float()) {
        const auto x = value.get<double>();
        if (x == std::floor(x) && std::abs(x) <= kMaxExactInteger) return static_cast<int64_t>(x);
    }
    return value;
}

// Three samples tell apart whatever training could have made of a tensor, and cost three pages.
void add_sample(Hasher& hasher, std::span<const std::byte> bytes) {
    if (bytes.size() <= 3 * kSampleBytes) {
        hasher.add(bytes);
        return;
    }
    hasher.add(bytes.first(kSampleBytes));
    hasher.add(bytes.subspan((bytes.size() - kSampleBytes) / 2, kSampleBytes));
    hasher.add(bytes.last(kSampleBytes));
}

void add_tensor(Hasher& hasher, const SafetensorsFile& file, const std::string& name) {
    // The length before the name keeps names that contain spaces apart.
    hasher.add(std::to_string(name.size()) + " " + name + " ");
    if (const auto found = file.tensors().find(name); found != file.tensors().end()) {
        const TensorView& view = found->second;
        hasher.add(std::string(dtype_name(view.dtype)) + to_string(view.shape));
        add_sample(hasher, {view.data, static_cast<size_t>(view.bytes())});
    } else {
        const SafetensorsFile::UnsupportedTensor& other = file.unsupported().at(name);
        hasher.add(other.dtype + to_string(other.shape));
        add_sample(hasher, other.bytes);
    }
}

bool exists(const std::string& path) {
    std::error_code ignored;
    return fs::exists(path, ignored);
}

bool is_plain_name(const std::string& name) {
    const bool has_control_character =
        std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20; });
    return !name.empty() && !has_control_character && name.find('/') == std::string::npos &&
           name.find("..") == std::string::npos;
}

// Shard file by tensor name, as model.safetensors.index.json says.
std::map<std::string, std::string> read_index(const std::string& path) {
    const json document = read_json_file(path);
    std::map<std::string, std::string> shard_of;
    for (const auto& [name, member] : JsonReader(document, path).at("weight_map").members()) {
        const std::string shard = member.string();
        if (!is_plain_name(shard)) {
            member.fail("shard '" + shard + "' is not a file name in the model's folder",
                        kDownloadAgain);
        }
        shard_of[name] = shard;
    }
    if (shard_of.empty()) throw FileError("weight_map is empty", path, kDownloadAgain);
    return shard_of;
}

}  // namespace

SafetensorsCheckpoint::SafetensorsCheckpoint(const std::string& directory) : directory_(directory) {
    while (directory_.size() > 1 && directory_.ends_with('/')) directory_.pop_back();
    std::error_code ignored;
    if (!fs::is_directory(directory_, ignored)) {
        throw FileError(exists(directory_) ? "not a folder" : "no such folder",
                        directory_.empty() ? "''" : directory_,
                        "name the folder of a Hugging Face model (config.json, *.safetensors)");
    }
    if (!exists(config_path())) {
        if (exists(file_path("adapter_config.json"))) {
            throw UnsupportedError("an adapter, not a model (adapter_config.json)", directory_,
                                   "merge it into its base model: load it with peft, then "
                                   "merge_and_unload and save_pretrained");
        }
        throw FileError("no config.json", directory_,
                        "name the folder of a Hugging Face model, or download it again");
    }
    config_ = read_json_file(config_path());
    open_shards();

    Hasher hasher;
    for (const auto& [name, file] : where_) add_tensor(hasher, *file, name);
    hasher.add(canonical(config_).dump());
    fingerprint_ = hasher.hex();
}

void SafetensorsCheckpoint::fail_without_weights() const {
    if (exists(file_path("pytorch_model.bin")) ||
        exists(file_path("pytorch_model.bin.index.json"))) {
        throw UnsupportedError("weights are in PyTorch's pickle format (pytorch_model.bin)",
                               directory_,
                               "convert them to safetensors: load the model with transformers and "
                               "call save_pretrained");
    }
    throw FileError("no model.safetensors and no model.safetensors.index.json", directory_,
                    "download the model's weights");
}

void SafetensorsCheckpoint::open_shard(const std::string& path) {
    shards_.push_back(std::make_unique<SafetensorsFile>(path));
    const auto add = [&](const std::string& name) {
        const auto [at, is_new] = where_.emplace(name, shards_.back().get());
        if (is_new) return;
        throw FileError("tensor '" + name + "' is in two shards",
                        at->second->path() + " and " + path, kDownloadAgain);
    };
    for (const auto& [name, view] : shards_.back()->tensors()) add(name);
    for (const auto& [name, other] : shards_.back()->unsupported()) add(name);
}

void SafetensorsCheckpoint::open_shards() {
    if (exists(file_path("model.safetensors"))) {
        open_shard(file_path("model.safetensors"));
        return;
    }
    if (!exists(file_path(kIndexName))) fail_without_weights();
    const std::map<std::string, std::string> shard_of = read_index(file_path(kIndexName));
    std::set<std::string> shard_names;
    for (const auto& [name, shard] : shard_of) shard_names.insert(shard);
    for (const std::string& shard : shard_names) {
        if (exists(file_path(shard))) open_shard(file_path(shard));
    }
    for (const auto& [name, shard] : shard_of) {
        const auto found = where_.find(name);
        const std::string path = file_path(shard);
        if (found == where_.end() || found->second->path() != path) missing_.emplace(name, path);
    }
    if (shards_.empty()) fail_missing(missing_.begin()->first);
}

void SafetensorsCheckpoint::fail_missing(const std::string& name) const {
    const std::string& path = missing_.at(name);
    const std::string index = file_path(kIndexName);
    if (!exists(path)) {
        throw FileError("shard is missing", fmt::format("{} (named in {})", path, index),
                        kDownloadAgain);
    }
    throw FileError("tensor '" + name + "' is missing",
                    fmt::format("{} (where {} says it is)", path, index), kDownloadAgain);
}

std::vector<std::string> SafetensorsCheckpoint::names() const {
    std::vector<std::string> names;
    names.reserve(where_.size());
    for (const auto& [name, file] : where_) names.push_back(name);
    return names;
}

std::string SafetensorsCheckpoint::stored_dtype(const std::string& name) const {
    const auto found = where_.find(name);
    if (found == where_.end()) return {};
    const SafetensorsFile& file = *found->second;
    if (const auto other = file.unsupported().find(name); other != file.unsupported().end())
        return other->second.dtype;
    return file_dtype(file.tensors().at(name).dtype);
}

std::vector<std::string> SafetensorsCheckpoint::warnings() const {
    if (missing_.empty()) return {};
    const auto& [name, path] = *missing_.begin();
    return {fmt::format("{} of the tensors that {} names are not there, the first '{}' in {}",
                        missing_.size(), kIndexName, name, path)};
}

TensorView SafetensorsCheckpoint::tensor(const std::string& name, const Shape& shape) const {
    if (missing_.contains(name)) fail_missing(name);
    const auto found = where_.find(name);
    if (found == where_.end()) {
        throw FileError(
            "tensor '" + name + "' " + to_string(shape) + " is missing",
            shards_.size() == 1 ? shards_.front()->path() : directory_,
            "check that config.json belongs to these weights, or download the model again");
    }
    const TensorView& view = found->second->tensor(name);
    if (view.shape != shape) {
        throw FileError(
            "tensor '" + name + "' is " + to_string(view.shape) + ", expected " + to_string(shape),
            found->second->path(),
            "check that config.json belongs to these weights, or download the model again");
    }
    if (!is_floating_point(view.dtype)) {
        throw UnsupportedError(
            "weight '" + name + "' is stored as " + std::string(dtype_name(view.dtype)),
            found->second->path(), "use a checkpoint in f32, f16 or bf16");
    }
    return view;
}

void SafetensorsCheckpoint::release() const {
    for (const auto& shard : shards_) shard->release();
}

void SafetensorsCheckpoint::release_tensor(const TensorView& weight) const {
    for (const auto& shard : shards_) shard->release(weight);
}

int64_t SafetensorsCheckpoint::num_parameters() const {
    int64_t count = 0;
    for (const auto& shard : shards_) {
        for (const auto& [name, view] : shard->tensors()) {
            if (is_floating_point(view.dtype)) count += view.size();
        }
    }
    return count;
}

}  // namespace lowkey
