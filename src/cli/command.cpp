#include "cli/command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "base/escape.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/size.h"
#include "compress/plan_file.h"
#include "io/safetensors.h"
#include "kernels/kernels.h"

namespace lowkey::cli {

CLI::Option* add_model(CLI::App& app, CommonOptions& options) {
    CLI::Option* model = app.add_option("model", options.model,
                                        "Hugging Face directory, or `small` for the built-in model")
                             ->type_name("MODEL")
                             ->required();
    app.add_flag("--json", options.json, "print one JSON object on stdout");
    return model;
}

void find_model(CommonOptions& options, std::vector<std::string>& values, size_t least) {
    if (options.model.empty() && values.size() > least &&
        (values.back() == "small" || std::filesystem::is_directory(values.back()))) {
        options.model = values.back();
        values.pop_back();
    }
    if (options.model.empty()) throw UsageError("model is required", "MODEL", "see --help");
}

void add_run_flags(CLI::App& app, CommonOptions& options) {
    app.add_option("--threads", options.threads, "threads (default: physical cores)")
        ->check(CLI::Range(1, 1024));
    app.add_option(
           "--isa", options.isa,
           "instruction set of the kernels, as LOWKEY_ISA names it (default: the best here)")
        ->type_name("NAME");
    app.add_option("--dtype", options.dtype,
                   "weights, dense cache and low-rank coordinates: bf16 or f32")
        ->check(CLI::IsMember({"bf16", "f32"}))
        ->capture_default_str();
    app.add_option("--max-context", options.max_context,
                   "longest sequence in tokens (default: the model's)")
        ->check(CLI::Range(int64_t{1}, kMaxModelSize));
    CLI::Option* quiet = app.add_flag("--quiet", options.quiet, "no progress on stderr");
    app.add_flag("--verbose", options.verbose, "say on stderr what is loaded and how it runs")
        ->excludes(quiet);
}

namespace {

void add_pool_flags(CLI::App& app, CommonOptions& options) {
    app.add_option("--kv-budget", options.kv_budget,
                   "hard limit of all keys and values, as 512MiB");
    app.add_option("--chunk,--prefill-chunk", options.prefill_chunk,
                   "prompt tokens that are computed at a time")
        ->check(CLI::Range(int64_t{1}, kMaxModelSize))
        ->capture_default_str();
}

}  // namespace

void add_cache_flags(CLI::App& app, CommonOptions& options) {
    app.add_option("--plan", options.plan, "cache plan (default: the uncompressed cache)")
        ->type_name("PLAN");
    add_pool_flags(app, options);
}

void add_cache_flags(CLI::App& app, CommonOptions& options, std::vector<std::string>& plans) {
    app.add_option("--plan", plans,
                   "cache plan (default: the uncompressed cache); given again, all plans run side "
                   "by side and share what they compute alike")
        ->type_name("PLAN")
        ->allow_extra_args(false);  // a MODEL may follow
    add_pool_flags(app, options);
}

void add_generation_flags(CLI::App& app, GenerationFlags& flags) {
    SamplingOverrides& sampling = flags.sampling;
    app.add_option("-n,--max-new-tokens", flags.max_new_tokens, "most tokens to generate")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--temperature", sampling.temperature,
                   "0 takes the likeliest token (default of this and the next: the model's "
                   "generation_config.json; 0 where it does not ask for samples)")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--top-k", sampling.top_k, "choose from the k likeliest tokens; 0 is all")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--top-p", sampling.top_p, "... from the fewest that hold this probability")
        ->check(CLI::Range(0.0, 1.0));
    app.add_option("--min-p", sampling.min_p, "... from those this share as likely as the first")
        ->check(CLI::Range(0.0, 1.0));
    app.add_option("--repeat-penalty", sampling.repeat_penalty,
                   "make tokens that were there less likely; 1 is off")
        ->check(CLI::PositiveNumber);
    app.add_option("--seed", sampling.seed, "of the random choices")->capture_default_str();
    app.add_option("--stop", flags.stop, "end before this text; may be given again")
        ->type_name("S")
        ->allow_extra_args(false);
    app.add_flag("--ignore-eos", flags.ignore_eos, "go on after the model's end tokens");
}

GenerationOptions generation_options(const Model& model, const Tokenizer* tokenizer,
                                     const CommonOptions& options, const GenerationFlags& flags,
                                     std::optional<int32_t> end_of_turn) {
    const GenerationConfig config = read_generation_config(*model.weights().checkpoint, tokenizer);
    GenerationOptions how = config.options(flags.sampling);
    how.max_new_tokens = flags.max_new_tokens;
    how.stop = flags.stop;
    if (end_of_turn) how.eos_ids.push_back(*end_of_turn);
    if (flags.ignore_eos) how.eos_ids.clear();
    if (options.verbose) {
        std::fprintf(
            stderr, "sampling: %s (the model's own: %s); ends at tokens: %s\n",
            describe(how.sampling).c_str(), describe(config.sampling).c_str(),
            how.eos_ids.empty() ? "none" : fmt::format("{}", fmt::join(how.eos_ids, ", ")).c_str());
    }
    return how;
}

nlohmann::json to_json(const SamplingOptions& sampling) {
    return {{"temperature", sampling.temperature},
            {"top_k", sampling.top_k},
            {"top_p", sampling.top_p},
            {"min_p", sampling.min_p},
            {"repeat_penalty", sampling.repeat_penalty},
            {"seed", sampling.seed}};
}

void add_chat_flags(CLI::App& app, ChatFlags& flags) {
    app.add_option("--template", flags.file, "a Jinja chat template (default: the model's)")
        ->type_name("FILE");
    app.add_option("--system", flags.system, "the system message")->type_name("TEXT");
}

ChatTemplate load_chat_template(const CommonOptions& options, const ChatFlags& flags) {
    const std::string directory = model_directory(options.model);
    if (!flags.file.empty()) return ChatTemplate::from_file(flags.file, directory);
    return ChatTemplate::of_model(directory, /*with_tools=*/false);
}

void apply_run_flags(const CommonOptions& options) {
    if (options.threads > 0) set_num_threads(options.threads);
    if (!options.isa.empty()) choose_kernels(options.isa);
    Progress::set_enabled(!options.quiet);
}

std::shared_ptr<const Model> load_model(const CommonOptions& options) {
    apply_run_flags(options);
    std::optional<Progress> progress;
    const auto on_progress = [&](int64_t done, int64_t total) {
        if (!progress) progress.emplace("load", total);
        progress->update(done);
    };
    auto model = Model::load(model_directory(options.model),
                             {*parse_dtype(options.dtype), options.max_context}, on_progress);
    progress.reset();
    warn(model->warnings());
    if (options.verbose) {
        const ModelConfig& config = model->config();
        std::fprintf(
            stderr, "%s: %lld layers, %lld heads, %lld KV heads of %lld; %s; %d threads of %s\n",
            printable(config.architecture).c_str(), static_cast<long long>(config.num_layers),
            static_cast<long long>(config.num_heads), static_cast<long long>(config.num_kv_heads),
            static_cast<long long>(config.head_dim), options.dtype.c_str(), num_threads(),
            cpu_name().c_str());
    }
    return model;
}

Engine make_engine(const std::shared_ptr<const Model>& model, const CommonOptions& options,
                   int64_t num_sequences) {
    CachePlan plan = CachePlan::dense(model->config().num_layers, model->config().num_kv_heads);
    if (!options.plan.empty()) {
        PlanFile file = read_plan(options.plan);
        check_plan_fits(file, options.plan, *model);
        plan = std::move(file.plan);
    }
    EngineOptions engine{.prefill_chunk = options.prefill_chunk, .num_sequences = num_sequences};
    if (!options.kv_budget.empty()) engine.kv_budget_bytes = parse_bytes(options.kv_budget);
    if (!options.kv_budget.empty() && engine.kv_budget_bytes < kPageBytes) {
        throw BudgetError(kPageBytes, engine.kv_budget_bytes, "--kv-budget " + options.kv_budget,
                          "give at least one page");
    }
    return {model, plan, engine};
}

std::vector<Engine> make_engines(const std::shared_ptr<const Model>& model,
                                 const CommonOptions& options,
                                 const std::vector<std::string>& plans) {
    std::vector<Engine> engines;
    CommonOptions own = options;
    for (size_t i = 0; i < std::max<size_t>(plans.size(), 1); ++i) {
        own.plan = plans.empty() ? "" : plans[i];
        engines.push_back(make_engine(model, own));
    }
    return engines;
}

Engine make_reference_engine(const std::shared_ptr<const Model>& model,
                             const CommonOptions& options) {
    CommonOptions uncompressed = options;
    uncompressed.plan.clear();
    uncompressed.kv_budget.clear();
    return make_engine(model, uncompressed);
}

std::shared_ptr<const Tokenizer> load_tokenizer(const CommonOptions& options) {
    return Tokenizer::load(model_directory(options.model));
}

std::vector<std::vector<int32_t>> read_ids(const std::string& path) {
    const SafetensorsFile file(path);
    const TensorView& ids = file.tensor("input_ids");
    const bool rows = ids.shape.size() == 2;
    if (ids.dtype != DType::kI64 || (ids.shape.size() != 1 && !rows)) {
        throw FileError("tensor 'input_ids' is " + std::string(dtype_name(ids.dtype)) + " " +
                            to_string(ids.shape) + ", not i64 [n] or [n_seq, length]",
                        path, "write int64 token ids");
    }
    const int64_t length = rows ? ids.shape[1] : ids.shape[0];
    std::vector<std::vector<int32_t>> out;
    for (int64_t s = 0; s < (rows ? ids.shape[0] : 1); ++s) {
        std::vector<int32_t>& sequence = out.emplace_back();
        for (const int64_t id : ids.as<int64_t>().subspan(static_cast<size_t>(s * length),
                                                          static_cast<size_t>(length))) {
            if (id < 0 || id > INT32_MAX) {
                throw FileError("token id " + std::to_string(id), path,
                                "ids are numbers of the vocabulary");
            }
            sequence.push_back(static_cast<int32_t>(id));
        }
    }
    return out;
}

void print_now(std::string_view text) {
    static const bool terminal = isatty(STDOUT_FILENO) != 0;
    const std::string shown = terminal ? printable(text, Lines::kMany) : std::string(text);
    std::fwrite(shown.data(), 1, shown.size(), stdout);
    std::fflush(stdout);
}

void warn(const std::vector<std::string>& warnings) {
    for (const std::string& warning : warnings) {
        // Names from files are quoted in it, as in errors.
        std::fprintf(stderr, "lowkey: warning: %s\n", Error(warning, "", "").what());
    }
}

std::string describe(const CacheUsage& usage) {
    const std::string bytes = format_bytes(usage.bytes_allocated);
    const std::string full = format_bytes(usage.bytes_full);
    if (usage.bytes_allocated <= usage.bytes_full)
        return fmt::format("{} of {} ({:.1f} %)", bytes, full, 100 * usage.ratio());
    // Of a short text, or of numbers larger than bf16.
    return fmt::format("{} in whole pages of {} a head; the tokens alone, uncompressed in bf16: {}",
                       bytes, format_bytes(kPageBytes), full);
}

nlohmann::json to_json(const CacheUsage& usage) {
    return {{"bytes_allocated", usage.bytes_allocated},
            {"bytes_full", usage.bytes_full},
            {"ratio", usage.ratio()},
            {"tokens", usage.tokens},
            {"peak_bytes", usage.peak_bytes},
            {"pool_bytes", usage.pool_bytes}};
}

void print_json(const nlohmann::json& object) {
    // Text that is not UTF-8 (a generation cut inside a character) is shown, not refused.
    const std::string text = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    std::printf("%s\n", text.c_str());
}

}  // namespace lowkey::cli
