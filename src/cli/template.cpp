#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"
#include "chat/chat_template.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "jinja/json.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::string file;
    std::optional<std::string> bos_token;
    std::optional<std::string> eos_token;
    std::string messages;
    std::string tools;
    std::vector<std::string> variables;
    bool add_generation_prompt = false;
};

/// Messages or tools.
jinja::Value read_list(const std::string& path, const char* what) {
    const std::string name = path == "-" ? "standard input" : path;
    jinja::Value value = jinja::from_json(read_text(path), name);
    if (!is_list_of_dicts(value)) {
        throw FileError(std::string("expected a JSON list of ") + what, name, "write [{...}, ...]");
    }
    return value;
}

/// "name=json" of --set.
std::pair<std::string, jinja::Value> parse_variable(const std::string& setting) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
        throw UsageError("no name=json", "--set " + setting,
                         "give for example --set enable_thinking=false");
    }
    const std::string name = setting.substr(0, equals);
    return {name, jinja::from_json(setting.substr(equals + 1), "--set " + name)};
}

ChatTemplate load_template(const Options& options) {
    if (options.model.empty() && options.file.empty()) {
        throw UsageError("no template", "", "give MODEL, or --template FILE.jinja");
    }
    const std::string directory = options.model.empty() ? "" : model_directory(options.model);
    ChatTemplate chat_template = options.file.empty()
                                     ? ChatTemplate::of_model(directory, !options.tools.empty())
                                     : ChatTemplate::from_file(options.file, directory);
    if (options.bos_token) chat_template.set_special_token("bos_token", *options.bos_token);
    if (options.eos_token) chat_template.set_special_token("eos_token", *options.eos_token);
    return chat_template;
}

void run(const Options& options) {
    const ChatTemplate chat_template = load_template(options);
    ChatRequest request;
    request.messages = read_list(options.messages, "messages");
    if (request.messages.items().empty()) {
        throw FileError("the conversation is empty", options.messages, "give at least one message");
    }
    if (!options.tools.empty()) request.tools = read_list(options.tools, "tools");
    request.add_generation_prompt = options.add_generation_prompt;
    for (const std::string& setting : options.variables) {
        request.variables.push_back(parse_variable(setting));
    }
    const std::string text = chat_template.render(request);
    if (options.json) return print_json({{"text", text}});
    std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace

void add_template(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* app =
        program.add_subcommand("template", "The prompt that a chat template makes of messages.");
    app->footer(
        "Examples: lowkey template MODEL --messages chat.json --add-generation-prompt\n"
        "          lowkey template --template chat.jinja --bos-token \"<s>\" --messages chat.json "
        "--tools tools.json --set enable_thinking=false\n"
        "where chat.json is for example [{\"role\": \"user\", \"content\": \"Hello\"}]");
    add_model(*app, *options);
    app->get_option("model")->required(false);
    app->add_option("--template", options->file, "a Jinja template (default: the model's)")
        ->type_name("FILE");
    app->add_option("--bos-token", options->bos_token, "the template's bos_token")->type_name("S");
    app->add_option("--eos-token", options->eos_token, "the template's eos_token")->type_name("S");
    app->add_option("--messages", options->messages,
                    "the conversation: a JSON list of messages; - is standard input")
        ->type_name("FILE")
        ->required();
    app->add_option("--tools", options->tools, "what the model may call: a JSON list of schemas")
        ->type_name("FILE");
    app->add_flag("--add-generation-prompt", options->add_generation_prompt,
                  "end with what begins an answer");
    app->add_option("--set", options->variables,
                    "a further variable of the template, its value in JSON; may be given again")
        ->type_name("NAME=JSON")
        ->allow_extra_args(false);
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
