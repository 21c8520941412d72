#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "base/error.h"
#include "base/hash.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "cli/item_run.h"
#include "cli/plan_results.h"
#include "cli/text_windows.h"
#include "engine/generation_config.h"
#include "eval/perplexity.h"
#include "eval/protocols.h"

namespace lowkey::cli {
namespace {

struct Options : CommonOptions {
    std::vector<std::string> plans;
    std::string text;
    std::string ids;
    std::string resume;
    std::optional<int64_t> length;
    std::optional<int64_t> max_tokens;
    std::optional<int64_t> prefill;
    int64_t sequences = 0;
    int64_t limit = 0;
    bool bos = false;
    bool reference = false;
};

constexpr int64_t kDefaultLength = 2048;

/// The token sequences to cut into windows: one text, or the rows of an ids file.
struct Tokens {
    std::vector<std::vector<int32_t>> texts;
    std::string fingerprint;  ///< a hash of the text, or of the ids
};

Tokens read_tokens(const Options& options) {
    if (options.text.empty() == options.ids.empty())
        throw UsageError("what to score", "", "give either --text or --ids");
    Hasher hasher;
    Tokens tokens;
    if (options.text.empty()) {
        tokens.texts = read_ids(options.ids);
        for (const std::vector<int32_t>& row : tokens.texts) {
            hasher.add(std::to_string(row.size()) + ":");  // keeps rows apart
            hasher.add(std::as_bytes(std::span(row)));
        }
    } else {
        const std::string text = read_text(options.text);
        hasher.add(text);
        tokens.texts = {load_tokenizer(options)->encode(text, false)};
    }
    tokens.fingerprint = hasher.hex();
    return tokens;
}

std::vector<std::span<const int32_t>> read_windows(const Options& options,
                                                   const std::vector<std::vector<int32_t>>& texts) {
    if (texts.size() != 1 && (options.max_tokens || options.sequences > 0)) {
        throw UsageError("--max-tokens and --sequences choose windows of one text",
                         options.ids + " holds " + std::to_string(texts.size()) + " sequences",
                         "leave them out");
    }
    std::vector<std::span<const int32_t>> windows;
    for (const std::vector<int32_t>& text : texts) {
        const int64_t rows = texts.size() == 1 ? kDefaultLength : std::ssize(text);
        const TextWindows asked{.length = options.length.value_or(rows),
                                .max_tokens = options.max_tokens,
                                .sequences = options.sequences};
        for (const auto& window : cut_text(text, asked)) windows.push_back(window);
    }
    if (options.limit > 0 && std::ssize(windows) > options.limit)
        windows.resize(static_cast<size_t>(options.limit));
    return windows;
}

void print_table(const Perplexity& result) {
    std::printf("perplexity   %.4f  (%.5f nats per token)\n", result.perplexity(), result.nll);
    std::printf("scored       %lld tokens in %lld windows: %s\n",
                static_cast<long long>(result.tokens), static_cast<long long>(result.windows),
                windows_scored(result.prefill).c_str());
    std::printf("cache        %s\n", describe(result.cache).c_str());
    if (result.reference) {
        const ReferenceComparison& reference = *result.reference;
        std::printf(
            "uncompressed perplexity %.4f, so a change of %+.5f nats (± %.5f); KL divergence %.5f "
            "nats; same first token %.2f %%\n",
            std::exp(reference.nll), reference.change, reference.change_error, reference.mean_kl,
            100 * reference.top1_agreement);
    }
}

/// All that a window's scores depend on.
nlohmann::json settings_of(const Options& options, const Engine& engine, const Tokens& tokens,
                           const PerplexityOptions& how) {
    const auto or_null = [](const auto& value) {
        return value ? nlohmann::json(*value) : nlohmann::json();
    };
    nlohmann::json settings = evaluation_settings("perplexity", options, options.plans, engine);
    if (!options.ids.empty()) settings["tokenizer"] = nullptr;
    settings["data"] = tokens.fingerprint;
    settings["length"] = or_null(options.length);
    settings["max_tokens"] = or_null(options.max_tokens);
    settings["sequences"] = options.sequences;
    settings["limit"] = options.limit;
    settings["prefill"] = or_null(how.prefill);
    settings["bos"] = or_null(how.bos);
    settings["reference"] = options.reference;
    return settings;
}

PerplexityOptions scoring_of(const Options& options, const Model& model) {
    PerplexityOptions how;
    how.prefill = options.prefill;
    if (options.bos) how.bos = read_generation_config(*model.weights().checkpoint).bos_id;
    if (options.bos && !how.bos) {
        throw UsageError("the model names no bos token", options.model, "leave --bos out");
    }
    return how;
}

nlohmann::json result_json(const Perplexity& result) {
    nlohmann::json json = {{"perplexity", result.perplexity()},
                           {"nll", result.nll},
                           {"tokens", result.tokens},
                           {"windows", result.windows},
                           {"scored", windows_scored(result.prefill)},
                           {"cache", to_json(result.cache)}};
    if (result.reference) {
        json["kl"] = json["mean_kl"] = result.reference->mean_kl;
        json["kl_p999"] = result.reference->kl_p999;
        json["same_first_token"] = json["top1_agreement"] = result.reference->top1_agreement;
        json["nll_change"] = result.reference->change;
        json["nll_change_error"] = result.reference->change_error;
        json["reference_perplexity"] = std::exp(result.reference->nll);
        json["reference_nll"] = result.reference->nll;
    }
    return json;
}

void run(const Options& options) {
    std::vector<std::string> reads = options.plans;
    reads.insert(reads.end(), {options.text, options.ids});
    check_files(options, {.reads = reads, .writes = {options.resume}});
    const Tokens tokens = read_tokens(options);
    const auto windows = read_windows(options, tokens.texts);
    const auto model = load_model(options);
    PerplexityOptions how = scoring_of(options, *model);
    std::vector<Engine> engines = make_engines(model, options, options.plans);
    std::optional<Engine> reference;
    if (options.reference) reference.emplace(make_reference_engine(model, options));
    const std::vector<Perplexity> results = [&] {
        const ItemRun items("perplexity", "nll", options.resume,
                            settings_of(options, engines.front(), tokens, how));
        ItemOptions steps = items.options();
        steps.on_progress = {};  // windows are long: the line counts their tokens
        std::optional<Progress> progress;
        how.on_progress = [&](int64_t done, int64_t total, std::optional<double> nll) {
            if (!progress) progress.emplace("perplexity", total, done);
            progress->update(done, nll ? fmt::format("perplexity {:.3f}", std::exp(*nll)) : "");
        };
        return evaluate_perplexities(pointers_to(engines), windows, how,
                                     reference ? &*reference : nullptr, steps);
    }();
    print_by_plan(results, options.plans, options.json, result_json, print_table);
}

}  // namespace

void add_eval_perplexity(CLI::App& eval) {
    auto options = std::make_shared<Options>();
    CLI::App* app = eval.add_subcommand("perplexity",
                                        "Mean negative log-likelihood of a text, cut into disjoint "
                                        "windows without special tokens.");
    app->footer(
        "Each window's first token is context only. With --prefill N tokens [0, N) of a window "
        "are\n"
        "prefilled, the others decoded one by one through the cache, and only what decoding\n"
        "predicts is scored: targets N + 1 to length - 1. Plans whose prompts attend exactly need "
        "it.\n"
        "Example: lowkey eval perplexity MODEL --text test.txt --plan a.plan --reference");
    add_model(*app, *options);
    add_run_flags(*app, *options);
    add_cache_flags(*app, *options, options->plans);
    app->add_option("--text", options->text, "text file; - is standard input")->type_name("FILE");
    app->add_option("--ids", options->ids,
                    "instead: safetensors file with int64 input_ids [n] or [n_seq, length]")
        ->type_name("FILE");
    app->add_option("--length", options->length,
                    "tokens of a window (default: 2048, or the rows of --ids)")
        ->check(CLI::Range(int64_t{2}, kMaxModelSize));
    app->add_option("--max-tokens", options->max_tokens, "only the text's first N tokens")
        ->check(CLI::PositiveNumber);
    app->add_option("--sequences", options->sequences,
                    "N windows at even distances, as far as they fit side by side (default: all)")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
    app->add_option("--limit", options->limit, "only the first N of the windows")
        ->check(CLI::PositiveNumber);
    app->add_option("--prefill", options->prefill,
                    "tokens of a window that are prefilled (default: all)")
        ->check(CLI::NonNegativeNumber);
    app->add_flag("--bos", options->bos, "put the model's bos token in front of every window");
    app->add_flag("--reference", options->reference,
                  "also run the uncompressed cache, and report how far the model moves from it");
    add_resume_flag(*app, options->resume);
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
