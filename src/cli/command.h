#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/descriptor.h"
#include "chat/chat_template.h"
#include "engine/engine.h"
#include "engine/generation.h"
#include "engine/generation_config.h"
#include "io/model_directory.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

namespace lowkey::cli {

/// Flags that every command which runs a model has.
struct CommonOptions {
    std::string model;
    std::string plan;
    std::string dtype = "bf16";
    std::string kv_budget;
    int64_t max_context = 0;
    int64_t prefill_chunk = 512;
    int threads = 0;
    std::string isa;
    bool json = false;
    bool quiet = false;
    bool verbose = false;
};

// A new subcommand is one file and one line in main.cpp; each adds itself to the program with its
// flags, an example and what it does.

/// MODEL and --json. Returns MODEL, which is required.
CLI::Option* add_model(CLI::App& app, CommonOptions& options);
/// For commands with a flag that takes several values, after an add_model() that is not required: a
/// MODEL that follows them was taken for the last one. Hands it back where more than `least` values
/// leave one over that names a model. Throws UsageError when there is no MODEL.
void find_model(CommonOptions& options, std::vector<std::string>& values, size_t least);
/// --threads, --isa, --dtype, --max-context, --quiet, --verbose.
void add_run_flags(CLI::App& app, CommonOptions& options);
/// --plan, --kv-budget, --chunk.
void add_cache_flags(CLI::App& app, CommonOptions& options);
/// The same with a --plan that may be given again, for commands that run several side by side.
void add_cache_flags(CLI::App& app, CommonOptions& options, std::vector<std::string>& plans);

/// What --temperature, -n and their like ask of a generation; the rest is the model's.
struct GenerationFlags {
    int64_t max_new_tokens = 64;
    SamplingOverrides sampling = {};
    std::vector<std::string> stop = {};
    bool ignore_eos = false;
};
/// -n and how tokens are chosen: --temperature, --top-k, --top-p, --min-p, --repeat-penalty,
/// --seed, --stop, --ignore-eos.
void add_generation_flags(CLI::App& app, GenerationFlags& flags);
/// How this model generates under these flags; `end_of_turn` is what a chat template writes behind
/// an answer, which ends it, too. Says it on stderr with --verbose.
GenerationOptions generation_options(const Model& model, const Tokenizer* tokenizer,
                                     const CommonOptions& options, const GenerationFlags& flags,
                                     std::optional<int32_t> end_of_turn = {});
/// The `sampling` object of a generation's JSON.
nlohmann::json to_json(const SamplingOptions& sampling);

/// --template and --system, of commands that talk.
struct ChatFlags {
    std::string file;
    std::string system;
};
void add_chat_flags(CLI::App& app, ChatFlags& flags);
/// The template of --template, else the model's. Throws FileError where neither is there, and says
/// what goes without.
ChatTemplate load_chat_template(const CommonOptions& options, const ChatFlags& flags);

/// Sets what holds for the whole process: the number of threads, the instruction set, and whether
/// progress is shown. Comes before any computation.
void apply_run_flags(const CommonOptions& options);
/// The model that the options name: a directory, or `small` for the built-in one. Applies the run
/// flags.
std::shared_ptr<const Model> load_model(const CommonOptions& options);
/// The engine of a model under the options' plan and budget; without one there is room for so many
/// sequences at a time.
Engine make_engine(const std::shared_ptr<const Model>& model, const CommonOptions& options,
                   int64_t num_sequences = 1);
/// An engine for each of these plans; without one, one of the uncompressed cache. The options' own
/// plan is not asked.
std::vector<Engine> make_engines(const std::shared_ptr<const Model>& model,
                                 const CommonOptions& options,
                                 const std::vector<std::string>& plans);
/// The same as make_engine() without plan and budget: what compressed models are compared with.
Engine make_reference_engine(const std::shared_ptr<const Model>& model,
                             const CommonOptions& options);
/// The tokenizer of MODEL.
std::shared_ptr<const Tokenizer> load_tokenizer(const CommonOptions& options);

/// Token ids [n] of a safetensors file's int64 tensor `input_ids`; as sequences [n_seq, length]
/// when it has two dimensions. Throws FileError.
std::vector<std::vector<int32_t>> read_ids(const std::string& path);
/// Says so on standard error, a line each; characters that could control a terminal are replaced.
void warn(const std::vector<std::string>& warnings);
/// Writes text to standard output at once, as it comes from a model; where that is a terminal,
/// without what would steer it.
void print_now(std::string_view text);
/// "8.00 MiB of 12.0 MiB (67 %)"; in other words where pages leave more room than tokens need.
std::string describe(const CacheUsage& usage);
/// The `cache` object of every command's JSON.
nlohmann::json to_json(const CacheUsage& usage);
/// Prints exactly one JSON object on stdout.
void print_json(const nlohmann::json& object);

}  // namespace lowkey::cli
