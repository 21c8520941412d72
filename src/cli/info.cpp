#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "base/escape.h"
#include "base/size.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "io/quantization.h"
#include "io/safetensors_checkpoint.h"

namespace lowkey::cli {
namespace {

void print_row(const char* name, const std::string& value) {
    std::printf("%-24s %s\n", name, printable(value).c_str());
}

/// "rotary, base 10000", "ALiBi", "learned"
std::string describe_positions(const ModelConfig& config) {
    if (config.positions == ModelConfig::Positions::kAlibi) return "ALiBi";
    if (config.positions == ModelConfig::Positions::kLearned) return "learned";
    std::string text = fmt::format("rotary, base {}", config.rope.theta);
    if (config.local_rope)
        text += fmt::format(", {} in layers with a window", config.local_rope->theta);
    if (config.rope.rotary_dim != config.head_dim)
        text += fmt::format(", {} of {} coordinates", config.rope.rotary_dim, config.head_dim);
    return text;
}

/// "512 tokens in 15 of 18 layers"; empty without windows.
std::string describe_windows(const ModelConfig& config) {
    int64_t layers = 0;
    int64_t window = 0;
    for (const int64_t own : config.sliding_windows) {
        layers += own > 0 ? 1 : 0;
        window = std::max(window, own);
    }
    if (layers == 0) return {};
    return fmt::format("{} tokens in {} of {} layers", window, layers, config.num_layers);
}

struct Options : CommonOptions {
    bool verify = false;
};

/// What is known of the weights: by default what opening the files shows, else of all bytes, which
/// are read.
struct Weights {
    std::string fingerprint;
    std::string quantization;  ///< empty: none that is known of
};

Weights look_at_weights(const SafetensorsCheckpoint& checkpoint, const Options& options) {
    Weights weights{checkpoint.fingerprint(), quantization_of(checkpoint)};
    if (options.verify) {
        CommonOptions shortest = options;
        shortest.max_context = 1;
        weights.fingerprint = load_model(shortest)->fingerprint();
    } else {
        warn(checkpoint.warnings());
    }
    return weights;
}

void run(const Options& options) {
    const SafetensorsCheckpoint checkpoint(model_directory(options.model));
    const ModelConfig config = ModelConfig::read(checkpoint.config(), checkpoint.config_path());
    const Weights weights = look_at_weights(checkpoint, options);
    const std::string& architecture =
        config.architecture.empty() ? config.model_type : config.architecture;
    const int64_t parameters = checkpoint.num_parameters();
    const SamplingOptions sampling = read_generation_config(checkpoint).sampling;
    if (options.json) {
        return print_json({{"architecture", architecture},
                           {"model_type", config.model_type},
                           {"num_layers", config.num_layers},
                           {"num_heads", config.num_heads},
                           {"num_kv_heads", config.num_kv_heads},
                           {"head_dim", config.head_dim},
                           {"hidden_size", config.hidden_size},
                           {"intermediate_size", config.intermediate_size},
                           {"vocab_size", config.vocab_size},
                           {"max_position_embeddings", config.max_position_embeddings},
                           {"positions", describe_positions(config)},
                           {"sliding_windows", config.sliding_windows},
                           {"parameters", parameters},
                           {"kv_bytes_per_token", config.kv_bytes_per_token()},
                           {"sampling", to_json(sampling)},
                           {"quantization", weights.quantization},
                           {"fingerprint", weights.fingerprint},
                           {"verified", options.verify}});
    }
    const int64_t per_token = config.kv_bytes_per_token();
    const int64_t context = config.max_position_embeddings;
    print_row("architecture", architecture);
    print_row("parameters", fmt::format("{:.1f} M", static_cast<double>(parameters) / 1e6));
    print_row("layers", std::to_string(config.num_layers));
    print_row("heads", fmt::format("{}, KV heads {}, head_dim {}", config.num_heads,
                                   config.num_kv_heads, config.head_dim));
    print_row("hidden_size", fmt::format("{}, intermediate_size {}", config.hidden_size,
                                         config.intermediate_size));
    print_row("vocab_size", std::to_string(config.vocab_size));
    print_row("context", fmt::format("{} tokens", context));
    print_row("positions", describe_positions(config));
    if (const std::string windows = describe_windows(config); !windows.empty())
        print_row("sliding window", windows);
    print_row("KV cache, uncompressed",
              fmt::format("{} per token, {} for the whole context", format_bytes(per_token),
                          format_bytes(per_token * context)));
    print_row("sampling", describe(sampling));
    if (!weights.quantization.empty()) print_row("quantization", weights.quantization);
    print_row("fingerprint",
              weights.fingerprint + (options.verify ? " (of all bytes, all finite)"
                                                    : " (sampled; --verify reads all bytes)"));
}

}  // namespace

void add_info(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* app =
        program.add_subcommand("info", "What a model is, and what its cache takes per token.");
    app->footer("Example: lowkey info MODEL");
    add_model(*app, *options);
    app->add_flag("--verify", options->verify,
                  "read all weights, as running the model does: every number finite, every byte in "
                  "the fingerprint");
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
