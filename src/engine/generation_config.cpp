#include "engine/generation_config.h"

#include <fmt/format.h>

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
    return ids;
}

void read_tokens(GenerationConfig& out, const JsonReader& config) {
    if (!config.is_object()) config.fail("expected an object");
    if (out.eos_ids.empty()) out.eos_ids = token_ids(config, "eos_token_id");
    const std::vector<int32_t> bos = token_ids(config, "bos_token_id");
    if (!out.bos_id && !bos.empty()) out.bos_id = bos.front();
}

double number_in(const JsonReader& config, const char* key, double fallback, double low,
                 double high) {
    const auto value = config.find(key);
    if (!value) return fallback;
    const double number = value->number();
    if (number < low || number > high) {
        value->fail(fmt::format("{} is out of [{}, {}]", number, low, high),
                    "correct the file, or delete the key");
    }
    return number;
}

SamplingOptions read_sampling(const JsonReader& config) {
    constexpr double kLargest = 1e6;
    constexpr int64_t kDefaultTopK = 50;  // transformers', where a model only says do_sample
    const bool samples = config.boolean_or("do_sample", false);
    SamplingOptions out;
    const double temperature = number_in(config, "temperature", 1, 0, kLargest);
    if (samples) out.temperature = temperature;
    // -1, which other engines write, is all of them.
    out.top_k =
        std::max<int64_t>(config.integer_or("top_k", samples ? kDefaultTopK : 0, -1, INT64_MAX), 0);
    out.top_p = number_in(config, "top_p", 1, 0, 1);
    out.min_p = number_in(config, "min_p", 0, 0, 1);
    out.repeat_penalty = number_in(config, "repetition_penalty", 1, 1e-6, kLargest);
    return out;
}

void sort_unique(std::vector<int32_t>& ids) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

}  // namespace

GenerationConfig read_generation_config(const Checkpoint& checkpoint, const Tokenizer* tokenizer) {
    GenerationConfig out;
    const JsonReader model(checkpoint.config(), checkpoint.config_path());
    const std::string path = checkpoint.directory() + "/generation_config.json";
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) {
        const nlohmann::json json = read_json_file(path);
        const JsonReader own(json, path);
        read_tokens(out, own);
        read_tokens(out, model);
        out.sampling = read_sampling(own);
    } else {
        read_tokens(out, model);
        out.sampling = read_sampling(model);
    }
    if (tokenizer != nullptr) {
        if (!out.bos_id) out.bos_id = tokenizer->bos_id();
        if (tokenizer->eos_id()) out.eos_ids.push_back(*tokenizer->eos_id());
    }
    sort_unique(out.eos_ids);
    return out;
}

GenerationOptions GenerationConfig::options(const SamplingOverrides& asked) const {
    GenerationOptions out;
    out.eos_ids = eos_ids;
    out.sampling = {.temperature = asked.temperature.value_or(sampling.temperature),
                    .top_k = asked.top_k.value_or(sampling.top_k),
                    .top_p = asked.top_p.value_or(sampling.top_p),
                    .min_p = asked.min_p.value_or(sampling.min_p),
                    .repeat_penalty = asked.repeat_penalty.value_or(sampling.repeat_penalty),
                    .seed = asked.seed};
    return out;
}

std::string describe(const SamplingOptions& sampling) {
    const bool greedy = sampling.temperature == 0;
    std::string text = greedy ? "greedy" : fmt::format("temperature {:g}", sampling.temperature);
    if (!greedy && sampling.top_k > 0) text += fmt::format(", top-k {}", sampling.top_k);
    if (!greedy && sampling.top_p < 1) text += fmt::format(", top-p {:g}", sampling.top_p);
    if (!greedy && sampling.min_p > 0) text += fmt::format(", min-p {:g}", sampling.min_p);
    if (sampling.repeat_penalty != 1)
        text += fmt::format(", repeat-penalty {:g}", sampling.repeat_penalty);
    return text;
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
