#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/progress.h"
#include "base/size.h"
#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "io/safetensors.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::string ids;
    std::string output;
    int64_t prefill = -1;
};

void run(const Options& options) {
    check_files(options, {.reads = {options.ids}, .writes = {options.output}});
    const auto sequences = read_ids(options.ids);
    const std::vector<int32_t>& ids = sequences.front();
    if (sequences.size() != 1 || ids.empty()) {
        throw FileError("expected one sequence of at least one token", options.ids,
                        "write input_ids [n]");
    }
    Engine engine = make_engine(load_model(options), options);
    const auto count = static_cast<int64_t>(ids.size());
    const int64_t prompt = options.prefill < 0 ? count : std::min(options.prefill, count);
    const int64_t vocab = engine.model().config().vocab_size;
    const int64_t hidden_size = engine.model().config().hidden_size;

    const auto sequence = engine.new_sequence();
    engine.check_request(*sequence, prompt, count - prompt);
    Tensor logits(DType::kF32, {count, vocab});
    float* rows = logits.f32().data();
    Progress progress("logits", count);
    engine.prefill(*sequence, std::span(ids).first(static_cast<size_t>(prompt)),
                   [&](int64_t first, const float* hidden, int64_t n) {
                       constexpr int64_t kRows = 512;
                       for (int64_t t = 0; t < n; t += kRows) {
                           engine.model().logits(hidden + t * hidden_size, std::min(kRows, n - t),
                                                 rows + (first + t) * vocab);
                       }
                       progress.update(first + n);
                   });
    for (int64_t t = prompt; t < count; ++t) {
        const Tensor row = engine.decode(*sequence, ids[static_cast<size_t>(t)]);
        std::copy(row.f32().begin(), row.f32().end(), rows + t * vocab);
        progress.update(t + 1);
    }
    write_safetensors(options.output, {{"logits", logits.view()}});
    const CacheUsage usage = engine.usage(*sequence);
    if (options.json) {
        print_json({{"tokens", count}, {"cache", to_json(usage)}});
    } else {
        std::fprintf(stderr, "wrote logits [%lld, %lld] to %s; the cache took %s\n",
                     static_cast<long long>(count), static_cast<long long>(vocab),
                     options.output.c_str(), format_bytes(usage.bytes_allocated).c_str());
    }
}

}  // namespace

void add_logits(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* app = program.add_subcommand("logits", "Logits of given token ids, teacher-forced.");
    app->footer(
        "Example: lowkey logits MODEL --ids ids.safetensors -o logits.safetensors --prefill 5 "
        "--plan a.plan");
    add_model(*app, *options);
    add_run_flags(*app, *options);
    add_cache_flags(*app, *options);
    app->add_option("--ids", options->ids, "safetensors file with int64 input_ids [n]")
        ->required()
        ->type_name("FILE");
    app->add_option("-o,--output", options->output,
                    "safetensors file for logits [n, vocab_size] f32")
        ->required()
        ->type_name("FILE");
    app->add_option(
           "--prefill", options->prefill,
           "tokens in one prefill; the rest go one a step through the cache (default: all)")
        ->check(CLI::NonNegativeNumber);
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
