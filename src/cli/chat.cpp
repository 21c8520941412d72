#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/escape.h"
#include "chat/conversation.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"

namespace lowkey::cli {
namespace {

constexpr char kHelp[] =
    "/clear         forget what was said\n"
    "/system TEXT   set the system message (without TEXT: none)\n"
    "/exit          leave, as Ctrl-D\n"
    "/help          this\n"
    "Ctrl-C stops an answer.\n";

struct Options : CommonOptions {
    ChatFlags chat_flags;
    GenerationFlags generation;
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
            say(text);
        };
        generation_.should_stop = Interrupt::pressed;
    }

    /// Until the input ends. Throws Error when a message was refused and nobody was there to see.
    void run() {
        LineReader lines(STDIN_FILENO);
        if (on_terminal_) say("/help lists the commands.\n");
        while (!left_ && !Interrupt::pressed()) {
            if (on_terminal_) say("> ");
            const auto line = lines.next();
            if (!line) break;
            try {
                handle(*line);
            } catch (const Error& error) {
                ++num_refused_;
                std::fprintf(stderr, "lowkey: error: %s\n", error.what());
                turns_.push_back({{"prompt", *line}, {"error", error.what()}});
            }
        }
        if (on_terminal_ && !left_) say("\n");
        if (options_.json)
            print_json({{"turns", turns_}, {"sampling", to_json(generation_.sampling)}});
        if (!on_terminal_ && num_refused_ > 0) {
            throw Error("lines refused: " + std::to_string(num_refused_), "standard input",
                        "see the errors above");
        }
    }

private:
    /// To the person: with --json standard output is for one object, at the end.
    void say(std::string_view text) const {
        if (!options_.json) return print_now(text);
        if (options_.quiet) return;
        const std::string shown = printable(text, Lines::kMany);
        std::fwrite(shown.data(), 1, shown.size(), stderr);
    }

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
            say(kHelp);
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
        if (!ends_line_) say("\n");
        const Generation& result = turn.generation;
        turns_.push_back({{"prompt", text},
                          {"text", result.text},
                          {"ids", result.ids},
                          {"prompt_tokens", turn.reused_tokens + result.prompt_tokens},
                          {"reused_tokens", turn.reused_tokens},
                          {"finish_reason", finish_reason_name(result.finish_reason)},
                          {"prefill_seconds", result.prefill_seconds},
                          {"decode_seconds", result.decode_seconds},
                          {"cache", to_json(result.cache)}});
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
    nlohmann::json turns_ = nlohmann::json::array();  ///< for --json
};

void run(const Options& options) {
    const ChatTemplate chat_template = load_chat_template(options, options.chat_flags);
    const auto tokenizer = load_tokenizer(options);
    Engine engine = make_engine(load_model(options), options);
    GenerationOptions generation =
        generation_options(engine.model(), tokenizer.get(), options, options.generation,
                           end_of_turn(chat_template, *tokenizer));
    Conversation conversation(engine, *tokenizer, chat_template);
    conversation.set_system(options.chat_flags.system);
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
        "With --json, standard output gets one object with all turns at the end, and what the "
        "model says goes to standard error.\n"
        "On a terminal, /help lists the commands and Ctrl-C stops an answer; otherwise each line "
        "of standard input is a message.");
    add_model(*app, *options);
    add_run_flags(*app, *options);
    add_cache_flags(*app, *options);
    add_chat_flags(*app, options->chat_flags);
    add_generation_flags(*app, options->generation);
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
