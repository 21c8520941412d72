#include <charconv>
#include <cstdio>

#include "base/error.h"
#include "cli/command.h"
#include "cli/commands.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::string ids;
    bool no_special = false;
};

/// Ids of "1 2 3", "1,2,3" or "[1, 2, 3]".
std::vector<int32_t> parse_ids(const std::string& text) {
    std::vector<int32_t> ids;
    const char* at = text.data();
    const char* end = text.data() + text.size();
    while (true) {
        while (at != end && std::string_view(" \t\n,[]").find(*at) != std::string_view::npos) ++at;
        if (at == end) return ids;
        int32_t id = 0;
        const auto [next, error] = std::from_chars(at, end, id);
        if (error != std::errc() || id < 0) {
            throw UsageError("not a token id",
                             "--ids, at '" + std::string(at, end).substr(0, 20) + "'",
                             "write ids as \"1 2 3\"");
        }
        ids.push_back(id);
        at = next;
    }
}

void run(const Options& options) {
    const std::vector<int32_t> ids = parse_ids(options.ids);
    const auto tokenizer = load_tokenizer(options);
    for (const int32_t id : ids) {
        if (id >= tokenizer->vocab_size()) {
            throw UsageError(
                "token id " + std::to_string(id) + " is outside the vocabulary",
                "the tokenizer has ids 0 to " + std::to_string(tokenizer->vocab_size() - 1),
                "use ids of this model");
        }
    }
    const std::string text = tokenizer->decode(ids, options.no_special);
    if (options.json) return print_json({{"text", text}});
    std::printf("%s\n", text.c_str());
}

}  // namespace

void add_detokenize(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* app = program.add_subcommand("detokenize", "Text of token ids.");
    app->footer("Example: lowkey detokenize MODEL --ids \"9906 1917\"");
    add_model(*app, *options);
    app->add_option("--ids", options->ids, "token ids, as \"1 2 3\"")->required()->type_name("IDS");
    app->add_flag("--no-special", options->no_special, "leave special tokens out");
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
