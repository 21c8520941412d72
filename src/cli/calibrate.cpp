#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <span>

#include "base/error.h"
#include "base/hash.h"
#include "base/size.h"
#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "compress/calibration.h"
#include "compress/calibration_part.h"
#include "kernels/kernels.h"
#include "tokenizer/tokenizer.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::vector<std::string> text;
    std::string ids;
    int64_t self = 0;
    int64_t sequences = 128;
    int64_t length = 2048;
    int64_t first_tokens = 4;
    uint64_t seed = 0;
    std::string output;
};

/// Sequences of the texts, one after another; each begins as a prompt of this tokenizer does.
std::vector<std::vector<int32_t>> text_sequences(const Options& options) {
    const auto tokenizer = Tokenizer::load(model_directory(options.model));
    std::vector<int32_t> tokens;
    for (const std::string& path : options.text) {
        const std::vector<int32_t> more = tokenizer->encode(read_text(path), false);
        tokens.insert(tokens.end(), more.begin(), more.end());
    }
    return cut_sequences(tokens, options.sequences, options.length, options.seed,
                         leading_token(*tokenizer));
}

/// A hash of all that the statistics depend on.
std::string part_key(const Model& model, const Options& options,
                     const std::vector<std::vector<int32_t>>& sequences, int32_t start) {
    Hasher hasher;
    hasher.add(fmt::format("{} {} {} {} {} ", LOWKEY_VERSION, model.fingerprint(), options.dtype,
                           kernels().isa, options.first_tokens));
    if (options.self > 0)
        hasher.add(
            fmt::format("self {} {} {} {}", options.self, options.length, options.seed, start));
    for (const auto& sequence : sequences) hasher.add(std::as_bytes(std::span(sequence)));
    return hasher.hex();
}

void run(Options& options) {
    find_model(options, options.text, 1);
    const int sources =
        (options.text.empty() ? 0 : 1) + (options.ids.empty() ? 0 : 1) + (options.self > 0 ? 1 : 0);
    if (sources != 1) {
        throw UsageError("give exactly one of --text, --self and --ids", "calibrate",
                         "see `lowkey calibrate --help`");
    }
    std::vector<std::string> reads = options.text;
    reads.push_back(options.ids);
    check_files(options, {.reads = reads, .writes = {options.output, part_of(options.output)}});
    const auto model = load_model(options);
    std::vector<std::vector<int32_t>> sequences;
    int32_t start = 0;
    nlohmann::json settings = {{"seed", options.seed}};
    if (!options.ids.empty()) {
        sequences = read_ids(options.ids);
        settings["source"] = "ids";
    } else if (options.self > 0) {
        start = document_start(*load_tokenizer(options), *model);
        settings["source"] = "self";
    } else {
        sequences = text_sequences(options);
        settings["source"] = "text";
    }
    // What is not finished stays beside the output: the same command goes on from there.
    std::optional<CalibrationPart> part;
    if (const std::string path = part_of(options.output); !path.empty())
        part.emplace(path, part_key(*model, options, sequences, start), *model);
    const Interrupt interrupt;
    CalibrationOptions how{.first_tokens = options.first_tokens,
                           .part = part ? &*part : nullptr,
                           .should_stop = Interrupt::pressed};
    if (!options.kv_budget.empty()) how.kv_budget_bytes = parse_bytes(options.kv_budget);
    const auto begin = std::chrono::steady_clock::now();
    if (options.self > 0) {
        sequences =
            sample_sequences(*model, options.self, options.length, options.seed, start, how);
    }
    CalibrationStats stats = calibrate(*model, sequences, how);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    settings["sequences"] = stats.ids.size();
    settings["length"] = stats.length;
    settings["dtype"] = options.dtype;
    stats.settings = settings;
    write_stats(options.output, stats);
    if (part) part->remove();
    if (options.json) {
        print_json({{"sequences", stats.ids.size()},
                    {"length", stats.length},
                    {"tokens", stats.num_tokens()},
                    {"seconds", seconds}});
    } else {
        std::fprintf(stderr, "calibrated on %zu sequences of %lld tokens in %s: %s\n",
                     stats.ids.size(), static_cast<long long>(stats.length),
                     format_seconds(seconds).c_str(), options.output.c_str());
    }
}

}  // namespace

void add_calibrate(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* app =
        program.add_subcommand("calibrate", "Collect the statistics that planners need.");
    app->footer(
        "Example: lowkey calibrate MODEL --text wiki.txt --sequences 128 --length 2048 -o "
        "model.stats");
    add_model(*app, *options)->required(false);
    add_run_flags(*app, *options);
    app->add_option("--text", options->text, "text files, joined")->type_name("FILE");
    app->add_option("--self", options->self,
                    "sample this many sequences from the model itself, for want of text")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
    app->add_option("--ids", options->ids, "safetensors file with int64 input_ids [n_seq, length]")
        ->type_name("FILE");
    app->add_option("--sequences", options->sequences,
                    "most sequences to cut from the text, at even distances")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
        ->capture_default_str();
    app->add_option("--length", options->length, "tokens per sequence")
        ->check(CLI::Range(int64_t{2}, kMaxModelSize))
        ->capture_default_str();
    app->add_option("--seed", options->seed,
                    "0: even distances; else random places, or the seed of --self")
        ->capture_default_str();
    app->add_option("--first-tokens", options->first_tokens,
                    "first tokens whose statistics are kept apart")
        ->check(CLI::Range(int64_t{0}, int64_t{64}))
        ->capture_default_str();
    app->add_option("--kv-budget", options->kv_budget,
                    "hard limit of the caches that are held at a time, as 512MiB");
    app->add_option("-o,--output", options->output,
                    "statistics file; OUTPUT.part holds what is not finished")
        ->required()
        ->type_name("STATS");
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
