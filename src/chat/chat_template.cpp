#include "chat/chat_template.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/unicode.h"
#include "io/json_reader.h"
#include "tokenizer/tokenizer_config.h"

namespace lowkey {
namespace {

namespace fs = std::filesystem;
using jinja::Dict;
using jinja::Kind;
using jinja::Value;

constexpr int64_t kMaxTemplateBytes = int64_t{16} << 20;
constexpr int64_t kMaxConfigBytes = int64_t{64} << 20;
constexpr char kRemedy[] = "give a Jinja template with --template FILE";
// Names by which messages carry reasoning; templates read the first.
constexpr std::array<const char*, 3> kReasoning = {"reasoning_content", "thinking", "reasoning"};

struct Source {
    std::string text;
    std::string name;  ///< for messages
};

Source read_source(const std::string& path) {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    if (static_cast<int64_t>(bytes.size()) > kMaxTemplateBytes) {
        throw FileError("a template of more than 16 MiB", path, "check the file");
    }
    return {{reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path};
}

/// Templates by name, from files of their own.
std::map<std::string, Source> template_files(const fs::path& directory) {
    std::map<std::string, Source> out;
    std::error_code ignored;
    const fs::path only = directory / "chat_template.jinja";
    if (fs::exists(only, ignored)) out["default"] = read_source(only.string());
    for (const auto& entry :
         fs::directory_iterator(directory / "additional_chat_templates", ignored)) {
        if (entry.path().extension() != ".jinja") continue;
        out[entry.path().stem().string()] = read_source(entry.path().string());
    }
    return out;
}

/// Templates by name, from the "chat_template" of a JSON file: one, a list with names, or an object
/// by name.
std::map<std::string, Source> configured_templates(const fs::path& file) {
    std::map<std::string, Source> out;
    const std::string path = file.string();
    std::error_code ignored;
    if (!fs::exists(path, ignored)) return out;
    const auto document = read_json_file(path, kMaxConfigBytes);
    const auto configured = JsonReader(document, path).find("chat_template");
    if (!configured) return out;
    const auto add = [&](const std::string& name, const JsonReader& source) {
        std::string where = path;
        where.append(", chat_template '").append(name).append("'");
        out[name] = {source.string(), where};
    };
    if (configured->is_array()) {
        for (const JsonReader& entry : configured->items())
            add(entry.at("name").string(), entry.at("template"));
    } else if (configured->is_object()) {
        for (const auto& [name, source] : configured->members()) add(name, source);
    } else {
        out["default"] = {configured->string(), path + ", chat_template"};
    }
    return out;
}

Source find_source(const std::string& directory, bool with_tools) {
    std::error_code ignored;
    if (!fs::is_directory(directory, ignored)) {
        throw FileError("no such directory", directory, "give a Hugging Face directory");
    }
    std::map<std::string, Source> found = template_files(directory);
    for (const char* file : {"tokenizer_config.json", "chat_template.json"}) {
        if (found.empty()) found = configured_templates(fs::path(directory) / file);
    }
    if (found.empty()) {
        throw FileError("the model has no chat template", directory,
                        std::string(kRemedy) +
                            ", take a model that was trained to talk (its name often ends in "
                            "Instruct or Chat), or continue a text with `lowkey generate MODEL -p "
                            "TEXT`");
    }
    if (with_tools && found.count("tool_use") > 0) return found["tool_use"];
    if (found.count("default") > 0) return found["default"];
    std::string names;
    for (const auto& [name, source] : found) names += (names.empty() ? "" : ", ") + name;
    throw FileError("of the model's chat templates (" + names + ") none is the default", directory,
                    kRemedy);
}

std::map<std::string, std::string> special_tokens_of(const std::string& directory) {
    if (directory.empty()) return {};
    return read_tokenizer_config(directory).role_tokens;
}

void check_list_of_dicts(const Value& value, const char* what) {
    if (is_list_of_dicts(value)) return;
    throw UsageError(std::string(what) + " are no list of objects", "",
                     std::string("give ") + what + " as [{...}, ...]");
}

Value prepared(const Dict& message) {
    const auto present = [&](const char* name) {
        const Value* found = message.find(name);
        return found != nullptr && !found->is_none();
    };
    const auto* reasoning = std::find_if(kReasoning.begin(), kReasoning.end(), present);
    Dict out;
    if (reasoning != kReasoning.end()) out.set("thinking", *message.find(*reasoning));
    for (const auto& [key, value] : message.entries()) {
        if (!value.is_none()) out.set(key.str(), value);
    }
    if (reasoning != kReasoning.end()) out.set("reasoning_content", *message.find(*reasoning));
    return Value::dict(std::move(out));
}

Value prepared_messages(const Value& messages) {
    check_list_of_dicts(messages, "messages");
    if (messages.items().empty()) {
        throw UsageError("the conversation is empty", "", "give at least one message");
    }
    std::vector<Value> out;
    for (const Value& message : messages.items()) out.push_back(prepared(message.dict()));
    return Value::list(std::move(out));
}

}  // namespace

bool is_list_of_dicts(const Value& value) {
    if (!value.is(Kind::kList)) return false;
    const auto is_dict = [](const Value& item) { return item.is(Kind::kDict); };
    return std::all_of(value.items().begin(), value.items().end(), is_dict);
}

ChatTemplate::ChatTemplate(const std::string& source, const std::string& name,
                           const std::string& directory)
    : template_(source, name), special_tokens_(special_tokens_of(directory)) {}

ChatTemplate ChatTemplate::of_model(const std::string& directory, bool with_tools) {
    const Source source = find_source(directory, with_tools);
    return {source.text, source.name, directory};
}

ChatTemplate ChatTemplate::from_file(const std::string& path, const std::string& directory) {
    const Source source = read_source(path);
    return {source.text, source.name, directory};
}

void ChatTemplate::set_special_token(const std::string& name, const std::string& text) {
    std::string storage;
    special_tokens_[name] = std::string(valid_utf8(text, storage));
}

std::string ChatTemplate::render(const ChatRequest& request) const {
    Dict variables;
    for (const auto& [name, text] : special_tokens_) variables.set(name, Value::string(text));
    if (request.tools) check_list_of_dicts(*request.tools, "tools");
    variables.set("tools", request.tools.value_or(Value::none()));
    variables.set("documents", Value::none());
    variables.set("add_generation_prompt", Value::boolean(request.add_generation_prompt));
    for (const auto& [name, value] : request.variables) variables.set(name, value);
    variables.set("messages", prepared_messages(request.messages));
    return template_.render(variables);
}

}  // namespace lowkey
