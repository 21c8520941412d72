#include "tokenizer/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "io/json_reader.h"

namespace lowkey {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{64} << 20;
constexpr const char* kRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};

// A token as files write it: its text, or an object with "content" and flags.
AddedToken read_special_token(const JsonReader& value) {
    AddedToken token;
    if (value.is_string()) {
        token.content = value.string();
        if (token.content.size() > TokenTrie::kMaxBytes) value.fail("token that is too long");
    } else {
        token = read_added_token(value);
    }
    token.special = true;
    return token;
}

void read_special_tokens(const JsonReader& root, TokenizerConfig& config) {
    const auto add = [&](const JsonReader& value) {
        AddedToken token = read_special_token(value);
        const bool known =
            std::any_of(config.special_tokens.begin(), config.special_tokens.end(),
                        [&](const AddedToken& other) { return other.content == token.content; });
        if (!known) config.special_tokens.push_back(std::move(token));
    };
    for (const char* role : kRoles) {
        if (!root.has(role)) continue;
        add(root.at(role));
        config.role_tokens.emplace(role, read_special_token(root.at(role)).content);
    }
    if (root.has("additional_special_tokens")) {
        const JsonReader more = root.at("additional_special_tokens");
        if (!more.is_array()) return;  // newer files have objects by role here
        for (const JsonReader& value : more.items()) add(value);
    }
}

void read_added_tokens(const JsonReader& decoder, TokenizerConfig& config) {
    for (const auto& [key, value] : decoder.members()) {
        AddedToken token = read_added_token(value);
        const char* end = key.data() + key.size();
        const auto [parsed, error] = std::from_chars(key.data(), end, token.id);
        if (error != std::errc() || parsed != end || token.id < 0 || token.id >= kMaxTokenIds)
            value.fail("'" + key + "' is no token id");
        config.added_tokens.push_back(std::move(token));
    }
}

}  // namespace

TokenizerConfig read_tokenizer_config(const std::string& directory) {
    TokenizerConfig config;
    for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
        const std::string path = (std::filesystem::path(directory) / name).string();
        std::error_code ignored;
        if (!std::filesystem::exists(path, ignored)) continue;
        const auto document = read_json_file(path, kMaxConfigBytes);
        const JsonReader root(document, path);
        if (!root.is_object()) root.fail("expected an object");
        const auto token = [&](const char* key, std::optional<std::string>& to) {
            if (!to && root.has(key)) to = read_special_token(root.at(key)).content;
        };
        const auto flag = [&](const char* key, std::optional<bool>& to) {
            if (!to && root.has(key)) to = root.at(key).boolean();
        };
        token("bos_token", config.bos_token);
        token("eos_token", config.eos_token);
        flag("add_bos_token", config.add_bos_token);
        flag("add_eos_token", config.add_eos_token);
        config.add_prefix_space |= root.boolean_or("add_prefix_space", false);
        read_special_tokens(root, config);
        if (root.has("added_tokens_decoder"))
            read_added_tokens(root.at("added_tokens_decoder"), config);
    }
    return config;
}

}  // namespace lowkey
