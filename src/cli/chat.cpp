#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>

#include "base/error.h"
#include "chat/conversation.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "engine/generation_config.h"

namespace lowkey::cli {
namespace {

constexpr char kHelp[] =
    "/clear         forget what was said\n"
    "/system TEXT   set the system message (without TEXT: none)\n"
    "/exit          leave, as Ctrl-D\n"
    "/help          this\n"
    "Ctrl-C stops an answer.\n";

struct Options : CommonOptions {
    std::string file;
    std::string system;
    GenerationOptions generation;
};

/// One conversation on standard input and output.
class Chat {
public:
    Chat(Conversation& conversation, const Options& options, GenerationOptions generation)
        : conversation_(conversation),
          options_(options),
          generation_(std::move(generation)),
          on_terminal_(isatty(STDIN_FILENO) != 0) {
        generation_.on_text = [this](std::string_view text) {
            ends_line_ = text.ends_with('\n');
            print_now(text);
        };
        generation_.should_stop = Interrupt::pressed;
    }

    /// Until the input ends. Throws Error when a message was refused and nobody was there to see.
    void run() {
        LineReader lines(STDIN_FILENO);
        if (on_terminal_) std::printf("/help lists the commands.\n");
        while (!left_ && !Interrupt::pressed()) {
            if (on_terminal_) print_now("> ");
            const auto line = lines.next();
            if (!line) break;
            try {
                handle(*line);
            } catch (const Error& error) {
                ++num_refused_;
                std::fprintf(stderr, "lowkey: error: %s\n", error.what());
            }
        }
        if (on_terminal_ && !left_) std::printf("\n");
        if (!on_terminal_ && num_refused_ > 0) {
            throw Error("lines refused: " + std::to_string(num_refused_), "standard input",
                        "see the errors above");
        }
    }

private:
    void handle(const std::string& line) {
        const size_t space = std::min(line.find(' '), line.size());
        const std::string command = line.substr(0, space);
        if (line.find_first_not_of(" \t") == std::string::npos) return;
        if (command == "/exit") {
            left_ = true;
        } else if (command == "/clear") {
            conversation_.clear();
        } else if (command == "/system") {
            conversation_.set_system(line.substr(std::min(space + 1, line.size())));
        } else if (command == "/help") {
            std::printf("%s", kHelp);
        } else if (command.starts_with("/") && command.find('/', 1) == std::string::npos) {
            throw UsageError("unknown command", command, "see /help");
        } else {
            answer(line);
        }
    }

    void answer(const std::string& text) {
        Interrupt::clear();
        ends_line_ = false;
        const Conversation::Turn turn = conversation_.say(text, generation_);
        Interrupt::clear();
        if (!ends_line_) print_now("\n");
        const Generation& result = turn.generation;
        if (options_.verbose) {
            const int64_t prompt_tokens = turn.reused_tokens + result.prompt_tokens;
            std::fprintf(
                stderr, "%s%lld of %lld prompt tokens were in the cache; %zu generated (%s)\n",
                turn.restarted ? "the conversation was written anew; " : "",
                static_cast<long long>(turn.reused_tokens), static_cast<long long>(prompt_tokens),
                result.ids.size(), finish_reason_name(result.finish_reason));
        }
        if (result.finish_reason == FinishReason::kContext) {
            std::fprintf(stderr, "the context is full; /clear starts anew\n");
        } else if (result.finish_reason == FinishReason::kLength && !options_.quiet) {
            std::fprintf(stderr, "cut at %zu tokens; -n N allows more\n", result.ids.size());
        }
    }

    Conversation& conversation_;
    const Options& options_;
    GenerationOptions generation_;
    bool on_terminal_;
    bool ends_line_ = false;
    bool left_ = false;
    int num_refused_ = 0;
};

/// All that end an answer: the model's end tokens and the tokenizer's, which for chat models may
/// differ.
std::vector<int32_t> end_tokens(const Engine& engine, const Tokenizer& tokenizer) {
    std::vector<int32_t> ids =
        read_generation_config(*engine.model().weights().checkpoint, &tokenizer).eos_ids;
    if (tokenizer.eos_id()) ids.push_back(*tokenizer.eos_id());
    return ids;
}

void run(const Options& options) {
    const std::string directory = model_directory(options.model);
    const ChatTemplate chat_template = options.file.empty()
                                           ? ChatTemplate::of_model(directory, false)
                                           : ChatTemplate::from_file(options.file, directory);
    const auto tokenizer = load_tokenizer(options);
    Engine engine = make_engine(load_model(options), options);
    GenerationOptions generation = options.generation;
    generation.eos_ids = end_tokens(engine, *tokenizer);
    Conversation conversation(engine, *tokenizer, chat_template);
    conversation.set_system(options.system);
    const Interrupt interrupt;
    Chat(conversation, options, std::move(generation)).run();
}

}  // namespace

void add_chat(CLI::App& program) {
    auto options = std::make_shared<Options>();
    options->generation.max_new_tokens = 512;
    CLI::App* app = program.add_subcommand("chat", "Talk with a model.");
    app->footer(
        "Examples: lowkey chat MODEL --plan eigen.plan --system \"You are terse.\" --temperature "
        "0.7\n"
        "          printf 'Hello\\nAnd now in French\\n' | lowkey chat MODEL\n"
        "On a terminal, /help lists the commands and Ctrl-C stops an answer; otherwise each line "
        "of standard input is a message.");
    app->add_option("model", options->model,
                    "Hugging Face directory, or `small` for the built-in model")
        ->type_name("MODEL")
        ->required();
    add_run_flags(*app, *options);
    add_cache_flags(*app, *options);
    app->add_option("--template", options->file, "a Jinja template (default: the model's)")
        ->type_name("FILE");
    app->add_option("--system", options->system, "the system message")->type_name("TEXT");
    add_generation_flags(*app, options->generation);
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
