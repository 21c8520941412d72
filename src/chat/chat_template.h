#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "jinja/template.h"

namespace lowkey {

/// The form of messages and of tools.
bool is_list_of_dicts(const jinja::Value& value);

/// What a chat template is rendered with, beside the model's special tokens.
struct ChatRequest {
    jinja::Value messages;              ///< a list of dicts
    std::optional<jinja::Value> tools;  ///< a list of JSON schemas
    bool add_generation_prompt = false;
    /// Further variables of the template; they hide special tokens of the same name.
    std::vector<std::pair<std::string, jinja::Value>> variables;
};

/// How a model wants conversations written: a Jinja template and the special tokens it may use.
/// Immutable once made; any thread may render.
class ChatTemplate {
public:
    /// The template of a Hugging Face directory: `chat_template.jinja` and
    /// `additional_chat_templates/*.jinja`, else the `chat_template` of tokenizer_config.json (one,
    /// a list with names, or an object by name), else of chat_template.json. Of several, "tool_use" is taken when there are tools, else "default". Throws FileError when
    /// there is none or it is wrong, UnsupportedError.
    static ChatTemplate of_model(const std::string& directory, bool with_tools);
    /// Another template; `directory`, whose special tokens it gets, may be empty. Throws FileError
    /// or UnsupportedError.
    static ChatTemplate from_file(const std::string& path, const std::string& directory);

    /// Sets "bos_token", "eos_token", ... in place of the model's.
    void set_special_token(const std::string& name, const std::string& text);

    /// The prompt that the template makes, as transformers' apply_chat_template makes it: members
    /// of messages that are null are left out, and reasoning that a message has by one of its usual
    /// names is there by the others too. Throws UsageError for what are no messages or tools,
    /// FileError where the template fails, and Error with its own words where it refuses them.
    [[nodiscard]] std::string render(const ChatRequest& request) const;

private:
    ChatTemplate(const std::string& source, const std::string& name, const std::string& directory);

    jinja::Template template_;
    std::map<std::string, std::string> special_tokens_;
};

}  // namespace lowkey
