#include "tokenizer/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "io/json_reader.h"

namespace lowkey {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{64} << 20;
// In the order in which tokens without ids get theirs.
constexpr const char* kRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};
// Lists (or objects by name) of further special tokens: the first that is there counts.
constexpr const char* kFurther[] = {"extra_special_tokens", "additional_special_tokens"};

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

bool is_role(const std::string& name) {
    return std::find(std::begin(kRoles), std::end(kRoles), name) != std::end(kRoles);
}

// What one file, or several with the later ones counting more, says of special tokens.
struct SpecialTokens {
    std::map<std::string, AddedToken> roles;  // an empty content: "no such token"
    std::vector<std::pair<std::string, AddedToken>> names;
    std::vector<AddedToken> further;

    void set_name(const std::string& name, const AddedToken& token) {
        const auto known = std::find_if(names.begin(), names.end(),
                                        [&](const auto& other) { return other.first == name; });
        if (known != names.end()) {
            known->second = token;
        } else {
            names.emplace_back(name, token);
        }
    }

    void read(const JsonReader& root) {
        for (const auto& [name, value] : root.members()) {
            if (is_role(name)) {
                roles[name] = value.is_null() ? AddedToken() : read_special_token(value);
            } else if (name.ends_with("_token") && (value.is_string() || is_token(value))) {
                set_name(name, read_special_token(value));
            }
        }
        for (const char* key : kFurther) {
            if (!root.has(key)) continue;
            const JsonReader more = root.at(key);
            if (more.is_array()) {
                for (const JsonReader& value : more.items())
                    further.push_back(read_special_token(value));
            } else if (more.is_object()) {
                for (const auto& [name, value] : more.members())
                    if (!value.is_null()) set_name(name, read_special_token(value));
            } else {
                more.fail("expected a list of tokens, or tokens by name");
            }
            if (!more.value().empty()) return;
        }
    }

    static bool is_token(const JsonReader& value) {
        return value.is_object() && value.has("content") && value.at("content").is_string();
    }
};

void add_special(TokenizerConfig& config, const AddedToken& token) {
    if (token.content.empty()) return;
    const bool known =
        std::any_of(config.special_tokens.begin(), config.special_tokens.end(),
                    [&](const AddedToken& other) { return other.content == token.content; });
    if (!known) config.special_tokens.push_back(token);
}

void take_special_tokens(const SpecialTokens& found, TokenizerConfig& config) {
    for (const char* role : kRoles) {
        const auto entry = found.roles.find(role);
        if (entry == found.roles.end()) continue;
        config.mentioned.emplace_back(role);
        if (entry->second.content.empty()) continue;
        add_special(config, entry->second);
        config.role_tokens[role] = entry->second.content;
    }
    for (const auto& [name, token] : found.names) {
        add_special(config, token);
        config.role_tokens[name] = token.content;
    }
    for (const AddedToken& token : found.further) add_special(config, token);
    const auto text_of = [&](const char* role) -> std::optional<std::string> {
        const auto entry = config.role_tokens.find(role);
        if (entry == config.role_tokens.end()) return std::nullopt;
        return entry->second;
    };
    config.bos_token = text_of("bos_token");
    config.eos_token = text_of("eos_token");
}

void read_added_tokens_decoder(const JsonReader& decoder, TokenizerConfig& config) {
    for (const auto& [key, value] : decoder.members()) {
        AddedToken token = read_added_token(value);
        const char* end = key.data() + key.size();
        const auto [parsed, error] = std::from_chars(key.data(), end, token.id);
        if (error != std::errc() || parsed != end || token.id < 0 || token.id >= kMaxTokenIds)
            value.fail("'" + key + "' is no token id");
        config.added_tokens.push_back(std::move(token));
    }
}

// {"text": id, ...}. Tokens that have a name are special, the others are looked for in normalized
// text, as added tokens are unless a file says otherwise.
void read_added_tokens_json(const JsonReader& root, TokenizerConfig& config) {
    if (!root.is_object()) root.fail("expected an object");
    for (const auto& [text, id] : root.members()) {
        AddedToken token{.content = text};
        if (text.size() > TokenTrie::kMaxBytes) id.fail("added token that is too long");
        token.id = static_cast<int32_t>(id.integer(0, kMaxTokenIds - 1));
        token.special =
            std::any_of(config.special_tokens.begin(), config.special_tokens.end(),
                        [&](const AddedToken& other) { return other.content == token.content; });
        token.normalized = !token.special;
        config.added_tokens.push_back(std::move(token));
    }
}

// Calls on_root with what the file holds, where it is present.
template <typename OnRoot>
void with_file(const std::string& directory, const char* name, const OnRoot& on_root) {
    const std::string path = (std::filesystem::path(directory) / name).string();
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return;
    const auto document = read_json_file(path, kMaxConfigBytes);
    const JsonReader root(document, path);
    if (!root.is_object()) root.fail("expected an object");
    on_root(root);
}

void read_options(const JsonReader& root, TokenizerConfig& config) {
    const auto flag = [&](const char* key, std::optional<bool>& to) {
        if (root.has(key)) to = root.at(key).boolean();
    };
    flag("add_bos_token", config.add_bos_token);
    flag("add_eos_token", config.add_eos_token);
    flag("add_prefix_space", config.add_prefix_space);
    flag("legacy", config.legacy);
    config.tokenizer_class = root.string_or("tokenizer_class", "");
}

}  // namespace

void TokenizerConfig::set_default(const std::string& name, const std::string& text) {
    if (std::find(mentioned.begin(), mentioned.end(), name) != mentioned.end()) return;
    mentioned.push_back(name);
    role_tokens[name] = text;
    if (name == "bos_token") bos_token = text;
    if (name == "eos_token") eos_token = text;
    add_special(*this, {.content = text, .special = true});
}

TokenizerConfig read_tokenizer_config(const std::string& directory) {
    TokenizerConfig config;
    config.directory = directory;
    SpecialTokens special;
    with_file(directory, "tokenizer_config.json", [&](const JsonReader& root) {
        read_options(root, config);
        special.read(root);
        if (!root.has("added_tokens_decoder")) return;
        config.overrules = true;
        read_added_tokens_decoder(root.at("added_tokens_decoder"), config);
    });
    if (!config.overrules) {
        with_file(directory, "special_tokens_map.json",
                  [&](const JsonReader& root) { special.read(root); });
    }
    take_special_tokens(special, config);
    if (!config.overrules) {
        with_file(directory, "added_tokens.json",
                  [&](const JsonReader& root) { read_added_tokens_json(root, config); });
    }
    if (config.tokenizer_class.empty()) {
        with_file(directory, "config.json", [&](const JsonReader& root) {
            const auto text = [&](const char* key) {
                const auto value = root.find(key);
                return value && value->is_string() ? value->string() : std::string();
            };
            config.model_type = text("model_type");
            config.tokenizer_class = text("tokenizer_class");
        });
    }
    if (config.tokenizer_class.ends_with("Fast"))
        config.tokenizer_class.resize(config.tokenizer_class.size() - 4);
    std::sort(config.added_tokens.begin(), config.added_tokens.end(),
              [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
    return config;
}

}  // namespace lowkey
