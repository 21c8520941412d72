#include <cstdio>
#include <optional>

#include "base/error.h"
#include "cli/command.h"
#include "cli/commands.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::optional<std::string> text;
    std::string file;
    bool no_special = false;
    bool no_parse_special = false;
};

void run(const Options& options) {
    if (options.text.has_value() != options.file.empty())
        throw UsageError("what to tokenize", "", "give either --text or --file");
    const std::string text = options.text ? *options.text : read_text(options.file);
    const auto ids = load_tokenizer(options)->encode(
        text, !options.no_special,
        options.no_parse_special ? SpecialText::kPlain : SpecialText::kParse);
    if (options.json) return print_json({{"ids", ids}});
    for (size_t i = 0; i < ids.size(); ++i) std::printf("%s%d", i == 0 ? "" : " ", ids[i]);
    std::printf("\n");
}

}  // namespace

void add_tokenize(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* app = program.add_subcommand("tokenize", "Token ids of a text.");
    app->footer("Example: lowkey tokenize MODEL --text \"Hello world\"");
    add_model(*app, *options);
    app->add_option("--text", options->text, "the text itself")->type_name("T");
    app->add_option("--file", options->file, "a file of text; - is standard input")->type_name("F");
    app->add_flag("--no-special", options->no_special,
                  "without what the tokenizer puts around a prompt (bos, ...)");
    app->add_flag("--no-parse-special", options->no_parse_special,
                  "special tokens that are written in the text are text");
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
