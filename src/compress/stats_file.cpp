#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "compress/calibration.h"
#include "compress/known_members.h"
#include "io/fingerprint.h"
#include "io/json_reader.h"
#include "io/safetensors.h"

namespace lowkey {
namespace {

constexpr const char* kStatsKey = "lowkey.stats";
constexpr int64_t kStatsVersion = 2;

[[noreturn]] void refuse_tensor(const std::string& name, const std::string& path) {
    throw FileError("statistics do not have a tensor '" + name + "'", path,
                    "run `lowkey calibrate` again with this lowkey");
}

/// Finite, and as Σ xᵀx must be: no negative squares.
void check_grams(const Tensor& grams, const std::string& name, const std::string& path) {
    const int64_t d = grams.dim(2);
    const auto x = grams.as<double>();
    for (size_t i = 0; i < x.size(); ++i) {
        const auto at = static_cast<int64_t>(i);
        const bool diagonal = at / d % d == at % d;
        if (std::isfinite(x[i]) && (!diagonal || x[i] >= 0)) continue;
        throw FileError(std::isfinite(x[i]) ? "a negative square" : "not finite",
                        path + ", " + name + ", layer " +
                            std::to_string(at / (d * d) / grams.dim(1)) + ", KV head " +
                            std::to_string(at / (d * d) % grams.dim(1)),
                        "run `lowkey calibrate` again");
    }
}

}  // namespace

void write_stats_tensors(const std::string& path, const CalibrationStats& stats,
                         std::map<std::string, std::string> metadata) {
    Tensor ids(DType::kI64, {static_cast<int64_t>(stats.ids.size()), stats.length});
    size_t at = 0;
    for (const auto& sequence : stats.ids) {
        for (const int32_t id : sequence) ids.as<int64_t>()[at++] = id;
    }
    std::map<std::string, TensorView> tensors = {{"input_ids", ids.view()}};
    for (const auto& [kind, gram] : stats.first) tensors.emplace("first." + kind, gram.view());
    for (const auto& [kind, gram] : stats.rest) tensors.emplace("rest." + kind, gram.view());
    metadata["format"] = "lowkey";
    write_safetensors(path, tensors, metadata);
}

void write_stats(const std::string& path, const CalibrationStats& stats) {
    const nlohmann::json document = {{"version", kStatsVersion},
                                     {"fingerprint", stats.fingerprint},
                                     {"first_tokens", stats.first_tokens},
                                     {"settings", stats.settings}};
    write_stats_tensors(path, stats, {{kStatsKey, document.dump()}});
}

void read_stats_ids(const SafetensorsFile& file, const Model& model, CalibrationStats& stats) {
    const TensorView& ids = file.tensor("input_ids", DType::kI64, {-1, -1});
    stats.length = ids.dim(1);
    if (ids.size() == 0)
        throw FileError("no calibration tokens", file.path(), "run `lowkey calibrate` again");
    const auto values = ids.as<int64_t>();
    for (int64_t s = 0; s < ids.dim(0); ++s) {
        std::vector<int32_t>& sequence = stats.ids.emplace_back();
        for (int64_t t = 0; t < stats.length; ++t) {
            const int64_t id = values[static_cast<size_t>(s * stats.length + t)];
            if (id < 0 || id >= model.config().vocab_size) {
                throw FileError("token id " + std::to_string(id) + " is outside the vocabulary",
                                file.path(), "run `lowkey calibrate` again");
            }
            sequence.push_back(static_cast<int32_t>(id));
        }
    }
}

void read_stats_grams(const SafetensorsFile& file, const Model& model, CalibrationStats& stats) {
    const ModelConfig& config = model.config();
    const Shape shape = {config.num_layers, config.num_kv_heads, config.head_dim, config.head_dim};
    size_t known = 1;  // the ids
    for (const std::string& kind : gram_kinds(model.rotates())) {
        for (auto* grams : {&stats.first, &stats.rest}) {
            const std::string name = (grams == &stats.first ? "first." : "rest.") + kind;
            const TensorView& view = file.tensor(name, DType::kF64, shape);
            Tensor copy(DType::kF64, shape);
            std::copy_n(view.data, view.bytes(), copy.data());
            check_grams(copy, name, file.path());
            grams->emplace(kind, std::move(copy));
            ++known;
        }
    }
    if (file.tensors().size() + file.unsupported().size() == known) return;
    for (const auto& [name, view] : file.tensors()) {
        const size_t dot = name.find('.');
        const std::string kind = dot == std::string::npos ? "" : name.substr(dot + 1);
        const bool expected = name == "input_ids" ||
                              (name.starts_with("first.") && stats.first.count(kind) > 0) ||
                              (name.starts_with("rest.") && stats.rest.count(kind) > 0);
        if (!expected) refuse_tensor(name, file.path());
    }
    refuse_tensor(file.unsupported().begin()->first, file.path());
}

CalibrationStats read_stats(const std::string& path, const Model& model) {
    const SafetensorsFile file(path);
    const auto text = file.metadata().find(kStatsKey);
    if (text == file.metadata().end()) {
        throw FileError(
            "not a file of calibration statistics (no metadata '" + std::string(kStatsKey) + "')",
            path, "give a file that `lowkey calibrate` wrote");
    }
    const nlohmann::json document = parse_json(text->second, path, DuplicateKeys::kRefuse);
    const JsonReader reader(document, path);
    if (const int64_t version = reader.at("version").integer(0, INT64_MAX);
        version != kStatsVersion) {
        reader.fail("statistics of version " + std::to_string(version) +
                        ", this lowkey reads version " + std::to_string(kStatsVersion),
                    "run `lowkey calibrate` again");
    }
    refuse_unknown_members(reader, {"version", "fingerprint", "first_tokens", "settings"});
    CalibrationStats stats;
    stats.fingerprint = reader.at("fingerprint").string();
    if (!same_checkpoint(stats.fingerprint, model.fingerprint())) {
        throw UsageError("statistics of another model",
                         path + " " + describe_difference(stats.fingerprint, model.fingerprint()),
                         "run `lowkey calibrate` for this model");
    }
    stats.first_tokens = reader.at("first_tokens").integer(0, kMaxModelSize);
    if (const auto settings = reader.find("settings"); settings) {
        for (const auto& [name, value] : settings->members()) {
            if (value.is_array() || value.is_object() || value.is_null())
                value.fail("a setting that is no number, text, true or false");
        }
        stats.settings = settings->value();
    }
    read_stats_ids(file, model, stats);
    if (stats.length > model.max_context()) {
        throw FileError("sequences of " + std::to_string(stats.length) +
                            " tokens, more than the context of " +
                            std::to_string(model.max_context()),
                        path, "run `lowkey calibrate` again, or raise --max-context");
    }
    read_stats_grams(file, model, stats);
    return stats;
}

std::string stats_hash(const CalibrationStats& stats) {
    Hasher hasher;
    hasher.add(stats.fingerprint);
    for (const auto& sequence : stats.ids) hasher.add(std::as_bytes(std::span(sequence)));
    for (const auto* grams : {&stats.first, &stats.rest}) {
        for (const auto& [kind, gram] : *grams) {
            hasher.add(kind);
            hasher.add(std::as_bytes(gram.as<double>()));
        }
    }
    return hasher.hex();
}

}  // namespace lowkey
