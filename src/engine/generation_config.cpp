#include "engine/generation_config.h"

#include <algorithm>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "io/json_reader.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

int32_t token_id(const JsonReader& value) {
    return static_cast<int32_t>(value.integer(0, INT32_MAX));
}

/// One id or a list of ids; nothing when the key is absent or null.
std::vector<int32_t> token_ids(const JsonReader& config, const std::string& key) {
    std::vector<int32_t> ids;
    const auto value = config.find(key);
    if (!value) return ids;
    if (value->is_array()) {
        for (const JsonReader& item : value->items()) ids.push_back(token_id(item));
    } else {
        ids.push_back(token_id(*value));
    }
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
}

void read_into(GenerationConfig& out, const JsonReader& config) {
    if (!config.is_object()) config.fail("expected an object");
    if (out.eos_ids.empty()) out.eos_ids = token_ids(config, "eos_token_id");
    const std::vector<int32_t> bos = token_ids(config, "bos_token_id");
    if (!out.bos_id && !bos.empty()) out.bos_id = bos.front();
}

}  // namespace

GenerationConfig read_generation_config(const Checkpoint& checkpoint, const Tokenizer* tokenizer) {
    GenerationConfig out;
    const std::string path = checkpoint.directory() + "/generation_config.json";
    if (std::filesystem::exists(path)) {
        const nlohmann::json json = read_json_file(path);
        read_into(out, JsonReader(json, path));
    }
    read_into(out, JsonReader(checkpoint.config(), checkpoint.config_path()));
    if (tokenizer != nullptr) {
        if (!out.bos_id) out.bos_id = tokenizer->bos_id();
        if (out.eos_ids.empty() && tokenizer->eos_id()) out.eos_ids = {*tokenizer->eos_id()};
    }
    return out;
}

std::optional<int32_t> leading_token(const Tokenizer& tokenizer) {
    const std::vector<int32_t> ids = tokenizer.encode("", true);
    if (ids.empty()) return std::nullopt;
    return ids.front();
}

int32_t document_start(const Tokenizer& tokenizer, const Model& model) {
    if (const auto leading = leading_token(tokenizer); leading) return *leading;
    const Checkpoint& checkpoint = *model.weights().checkpoint;
    const GenerationConfig config = read_generation_config(checkpoint, &tokenizer);
    if (config.bos_id) return *config.bos_id;
    if (!config.eos_ids.empty()) return config.eos_ids.front();
    throw UsageError("the model names no token that begins a text", checkpoint.config_path(),
                     "calibrate with --text");
}

}  // namespace lowkey
