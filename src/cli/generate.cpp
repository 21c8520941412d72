#include <cstdio>

#include "base/error.h"
#include "base/size.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "engine/generation.h"
#include "engine/generation_config.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::string prompt;
    std::string file;
    std::string ids;
    bool ignore_eos = false;
    GenerationOptions generation;
};

/// Null where the directory has no tokenizer at all: ids in, ids out works without.
std::shared_ptr<const Tokenizer> find_tokenizer(const Options& options) {
    return Tokenizer::exists(model_directory(options.model)) ? load_tokenizer(options) : nullptr;
}

std::vector<int32_t> read_prompt(const Options& options, const Tokenizer* tokenizer) {
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
    return tokenizer->encode(text, true);
}

double per_second(int64_t count, double seconds) {
    return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

void print_summary(const Generation& result) {
    const auto decoded = static_cast<int64_t>(result.ids.size()) - 1;
    std::fprintf(stderr,
                 "prompt %lld tokens, %.1f per second; generated %zu, %.1f per second; cache %s of "
                 "%s\n",
                 static_cast<long long>(result.prompt_tokens),
                 per_second(result.prompt_tokens, result.prefill_seconds), result.ids.size(),
                 per_second(decoded, result.decode_seconds),
                 format_bytes(result.cache.bytes_allocated).c_str(),
                 format_bytes(result.cache.bytes_full).c_str());
}

void run(const Options& options) {
    const auto tokenizer = options.ids.empty() ? load_tokenizer(options) : find_tokenizer(options);
    const std::vector<int32_t> prompt = read_prompt(options, tokenizer.get());
    Engine engine = make_engine(load_model(options), options);
    GenerationOptions how = options.generation;
    if (!options.ignore_eos) {
        how.eos_ids =
            read_generation_config(*engine.model().weights().checkpoint, tokenizer.get()).eos_ids;
    }
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
        "0.95");
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
    app->add_flag("--ignore-eos", options->ignore_eos, "go on after the model's end token");
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
