#include "cli/commands.h"

namespace lowkey::cli {

void add_eval(CLI::App& program) {
    CLI::App* app = program.add_subcommand("eval", "How good a model is, with or without a plan.");
    app->footer("Example: lowkey eval perplexity MODEL --text test.txt --plan a.plan");
    app->require_subcommand(1);
    add_eval_perplexity(*app);
    add_eval_needle(*app);
    add_eval_ruler(*app);
    add_eval_zeroshot(*app);
    add_eval_longbench(*app);
}

}  // namespace lowkey::cli
