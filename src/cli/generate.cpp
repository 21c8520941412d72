#include <cstdio>

#include "base/error.h"
#include "chat/chat_prompt.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "engine/generation.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::string prompt;
    std::string file;
    std::string ids;
    bool chat = false;
    ChatFlags chat_flags;
    GenerationFlags generation;
};

/// Null where the directory has no tokenizer at all: ids in, ids out works without.
std::shared_ptr<const Tokenizer> find_tokenizer(const Options& options) {
    return Tokenizer::exists(model_directory(options.model)) ? load_tokenizer(options) : nullptr;
}

/// Of --chat, and of nothing else.
std::optional<ChatTemplate> find_template(const Options& options) {
    if (options.chat) return load_chat_template(options, options.chat_flags);
    return std::nullopt;
}

std::vector<int32_t> read_prompt(const Options& options, const Tokenizer* tokenizer,
                                 const std::optional<ChatTemplate>& chat_template) {
    if (!options.ids.empty()) {
        auto sequences = read_ids(options.ids);
        if (sequences.size() != 1)
            throw FileError("expected one prompt", options.ids, "write input_ids [n]");
        return sequences.front();
    }
    const std::string text = options.file.empty() ? options.prompt : read_text(options.file);
    // Even where the tokenizer would put a bos token before nothing.
    if (text.empty()) {
        throw UsageError("the prompt is empty", options.file.empty() ? "--prompt" : options.file,
                         "give at least one character");
    }
    if (!chat_template) return tokenizer->encode(text, true);
    std::vector<ChatMessage> messages = {{"user", text}};
    if (!options.chat_flags.system.empty())
        messages.insert(messages.begin(), {"system", options.chat_flags.system});
    return chat_prompt(*chat_template, *tokenizer, messages);
}

double per_second(int64_t count, double seconds) {
    return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

void print_summary(const Generation& result) {
    const auto decoded = static_cast<int64_t>(result.ids.size()) - 1;
    std::fprintf(stderr,
                 "prompt %lld tokens, %.1f per second; generated %zu, %.1f per second; cache %s\n",
                 static_cast<long long>(result.prompt_tokens),
                 per_second(result.prompt_tokens, result.prefill_seconds), result.ids.size(),
                 per_second(decoded, result.decode_seconds), describe(result.cache).c_str());
}

void run(const Options& options) {
    const auto tokenizer = options.ids.empty() ? load_tokenizer(options) : find_tokenizer(options);
    const auto chat_template = find_template(options);
    const std::vector<int32_t> prompt = read_prompt(options, tokenizer.get(), chat_template);
    Engine engine = make_engine(load_model(options), options);
    const auto end = chat_template ? end_of_turn(*chat_template, *tokenizer) : std::nullopt;
    GenerationOptions how =
        generation_options(engine.model(), tokenizer.get(), options, options.generation, end);
    if (!options.json) {
        how.on_text = print_now;
    }
    const auto sequence = engine.new_sequence();
    const Generation result = generate(engine, *sequence, tokenizer.get(), prompt, how);
    if (options.json) {
        return print_json({{"text", result.text},
                           {"ids", result.ids},
                           {"prompt_tokens", result.prompt_tokens},
                           {"finish_reason", finish_reason_name(result.finish_reason)},
                           {"prefill_seconds", result.prefill_seconds},
                           {"decode_seconds", result.decode_seconds},
                           {"sampling", to_json(result.sampling)},
                           {"cache", to_json(result.cache)}});
    }
    if (tokenizer == nullptr) {
        for (const int32_t id : result.ids) std::printf("%d ", id);
    }
    std::printf("\n");
    if (!options.quiet) print_summary(result);
}

}  // namespace

void add_generate(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* app = program.add_subcommand("generate", "Continue a prompt.");
    app->footer(
        "Example: lowkey generate MODEL -p \"Once upon a time\" -n 100 --temperature 0.8 --top-p "
        "0.95\n"
        "         lowkey generate MODEL --chat -p \"What is a KV cache?\" -n 200\n"
        "Tokens are chosen as the model's generation_config.json says; flags win.");
    add_model(*app, *options);
    CLI::Option_group* prompt = app->add_option_group("prompt");
    prompt->add_option("-p,--prompt", options->prompt, "the prompt")->type_name("TEXT");
    prompt->add_option("-f,--file", options->file, "a file of it; - is standard input")
        ->type_name("FILE");
    prompt->add_option("--ids", options->ids, "its token ids: safetensors file with input_ids [n]")
        ->type_name("FILE");
    prompt->require_option(1);
    add_run_flags(*app, *options);
    add_cache_flags(*app, *options);
    add_generation_flags(*app, options->generation);
    CLI::Option* chat =
        app->add_flag("--chat", options->chat,
                      "put the prompt as a question, in the words of the model's chat template");
    chat->excludes(prompt->get_option("--ids"));
    add_chat_flags(*app, options->chat_flags);
    for (const char* flag : {"--template", "--system"}) app->get_option(flag)->needs(chat);
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
