#pragma once

#include <CLI/CLI.hpp>

namespace lowkey::cli {

// One per file of this folder.
void add_bench(CLI::App& program);
void add_calibrate(CLI::App& program);
void add_chat(CLI::App& program);
void add_compare(CLI::App& program);
void add_demo(CLI::App& program);
void add_detokenize(CLI::App& program);
void add_eval(CLI::App& program);
void add_eval_longbench(CLI::App& eval);
void add_eval_needle(CLI::App& eval);
void add_eval_perplexity(CLI::App& eval);
void add_eval_ruler(CLI::App& eval);
void add_eval_zeroshot(CLI::App& eval);
void add_generate(CLI::App& program);
void add_info(CLI::App& program);
void add_inspect(CLI::App& program);
void add_logits(CLI::App& program);
void add_plan(CLI::App& program);
void add_template(CLI::App& program);
void add_tokenize(CLI::App& program);

}  // namespace lowkey::cli
