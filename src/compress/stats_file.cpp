#include <utility>

#include "base/error.h"
#include "compress/calibration.h"
#include "io/fingerprint.h"
#include "io/json_reader.h"
#include "io/safetensors.h"

namespace lowkey {
namespace {

constexpr const char* kMetadataKey = "lowkey.stats";
constexpr int64_t kVersion = 2;

}  // namespace

void write_stats(const std::string& path, const CalibrationStats& stats) {
    Tensor ids(DType::kI64, {static_cast<int64_t>(stats.ids.size()), stats.length});
    size_t at = 0;
    for (const auto& sequence : stats.ids) {
        for (const int32_t id : sequence) ids.as<int64_t>()[at++] = id;
    }
    std::map<std::string, TensorView> tensors = {{"input_ids", ids.view()}};
    for (const auto& [kind, gram] : stats.first) tensors.emplace("first." + kind, gram.view());
    for (const auto& [kind, gram] : stats.rest) tensors.emplace("rest." + kind, gram.view());
    const nlohmann::json document = {{"version", kVersion},
                                     {"fingerprint", stats.fingerprint},
                                     {"first_tokens", stats.first_tokens},
                                     {"settings", stats.settings}};
    write_safetensors(path, tensors, {{"format", "lowkey"}, {kMetadataKey, document.dump()}});
}

CalibrationStats read_stats(const std::string& path, const Model& model) {
    const SafetensorsFile file(path);
    const auto text = file.metadata().find(kMetadataKey);
    if (text == file.metadata().end()) {
        throw FileError("not a file of calibration statistics (no metadata '" +
                            std::string(kMetadataKey) + "')",
                        path, "give a file that `lowkey calibrate` wrote");
    }
    const nlohmann::json document = parse_json(text->second, path);
    const JsonReader reader(document, path);
    if (reader.at("version").integer(0, INT64_MAX) != kVersion) {
        reader.fail("statistics of another version", "run `lowkey calibrate` again");
    }
    CalibrationStats stats;
    stats.fingerprint = reader.at("fingerprint").string();
    if (!same_checkpoint(stats.fingerprint, model.fingerprint())) {
        throw UsageError("statistics of another model",
                         path + " " + describe_difference(stats.fingerprint, model.fingerprint()),
                         "run `lowkey calibrate` for this model");
    }
    stats.first_tokens = reader.at("first_tokens").integer(0, kMaxModelSize);
    if (const auto settings = reader.find("settings"); settings) stats.settings = settings->value();

    const TensorView& ids = file.tensor("input_ids", DType::kI64, {-1, -1});
    stats.length = ids.dim(1);
    if (ids.size() == 0)
        throw FileError("no calibration tokens", path, "run `lowkey calibrate` again");
    const auto values = ids.as<int64_t>();
    for (int64_t s = 0; s < ids.dim(0); ++s) {
        std::vector<int32_t>& sequence = stats.ids.emplace_back();
        for (int64_t t = 0; t < stats.length; ++t) {
            const int64_t id = values[static_cast<size_t>(s * stats.length + t)];
            if (id < 0 || id >= model.config().vocab_size) {
                throw FileError("token id " + std::to_string(id) + " is outside the vocabulary",
                                path, "run `lowkey calibrate` again");
            }
            sequence.push_back(static_cast<int32_t>(id));
        }
    }
    const ModelConfig& config = model.config();
    const Shape shape = {config.num_layers, config.num_kv_heads, config.head_dim, config.head_dim};
    for (const std::string& kind : gram_kinds(model.rotates())) {
        for (auto* grams : {&stats.first, &stats.rest}) {
            const std::string name = (grams == &stats.first ? "first." : "rest.") + kind;
            const TensorView& view = file.tensor(name, DType::kF64, shape);
            Tensor copy(DType::kF64, shape);
            std::copy_n(view.data, view.bytes(), copy.data());
            grams->emplace(kind, std::move(copy));
        }
    }
    return stats;
}

}  // namespace lowkey
