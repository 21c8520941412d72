#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json_reader.h"
#include "tensor/ops.h"
#include "tensor/rope.h"

namespace lowkey {

/// What a decoder-only transformer is: the switches of the one forward pass. A family's file fills
/// it from config.json.
struct ModelConfig {
    enum class Positions { kRope, kLearned, kAlibi };
    /// Where a block (attention or MLP) is normalized. Every place has weights of its own.
    struct NormPlaces {
        bool before = true;   ///< the block's input
        bool output = false;  ///< what the block adds to the residual stream
        bool after = false;   ///< the residual stream once that is added
    };

    std::string model_type;    ///< as config.json names the family
    std::string architecture;  ///< "LlamaForCausalLM"

    int64_t num_layers = 0;
    int64_t num_heads = 0;     ///< query heads
    int64_t num_kv_heads = 0;  ///< divides num_heads
    int64_t head_dim = 0;
    int64_t hidden_size = 0;
    int64_t intermediate_size = 0;
    int64_t vocab_size = 0;
    int64_t max_position_embeddings = 0;
    int64_t embedding_size =
        0;  ///< of token embeddings; where it is not hidden_size, projections join the two

    Norm::Kind norm_kind = Norm::Kind::kRms;
    double norm_eps = 1e-5;
    double norm_weight_offset =
        0;                  ///< added to every norm's weights: 1 where they are stored as w - 1
    bool norm_bias = true;  ///< of Norm::Kind::kLayer
    NormPlaces norm_places;
    bool final_norm = true;
    bool qk_norm = false;  ///< queries and keys are normalized per head, before rotation

    double embedding_scale = 1;  ///< token embeddings are multiplied by it
    Positions positions = Positions::kRope;
    RopeConfig rope;                       ///< when positions is kRope
    std::optional<RopeConfig> local_rope;  ///< of layers with a sliding window, where it differs
    std::vector<float> alibi_slopes;       ///< [num_heads] when positions is kAlibi
    int64_t learned_position_offset = 0;   ///< rows of the position table before position 0

    double clip_qkv = 0;           ///< q, k and v are clipped to ± this; 0: not
    double softmax_scale = 0;      ///< of scores; families may leave 0 for 1 / sqrt(head_dim)
    double attention_softcap = 0;  ///< scores become softcap · tanh(score / softcap); 0: not
    double logits_softcap = 0;     ///< logits likewise
    /// [num_layers]: a token of the layer attends to itself and the window - 1 before it; 0: to
    /// all. Empty where no layer has a window.
    std::vector<int64_t> sliding_windows;

    bool gated_mlp = true;  ///< down(activation(gate) · up); else down(activation(up))
    Activation activation = Activation::kSilu;

    bool qkv_bias = false;
    bool o_bias = false;
    bool mlp_bias = false;
    bool tie_word_embeddings = false;
    bool normalize_lm_head = false;  ///< every row of the output head is divided by its L2 norm

    [[nodiscard]] int64_t group_size() const { return num_heads / num_kv_heads; }
    [[nodiscard]] int64_t sliding_window(int64_t layer) const {
        return sliding_windows.empty() ? 0 : sliding_windows[static_cast<size_t>(layer)];
    }
    /// How the layer rotates; positions is kRope.
    [[nodiscard]] const RopeConfig& rope_of(int64_t layer) const {
        return local_rope && sliding_window(layer) > 0 ? *local_rope : rope;
    }
    /// Bytes per token of the uncompressed bf16 cache: 2 · layers · kv_heads · head_dim · 2.
    [[nodiscard]] int64_t kv_bytes_per_token() const {
        return 4 * num_layers * num_kv_heads * head_dim;
    }

    /// Reads config.json. Throws FileError for missing, mistyped or contradictory keys,
    /// UnsupportedError for a family or feature that lowkey does not know.
    static ModelConfig read(const nlohmann::json& config, const std::string& path);
};

/// Ranges that every size in a configuration must keep, so that products of them cannot overflow.
inline constexpr int64_t kMaxModelSize = int64_t{1} << 24;

// Pieces of config.json that families share.

/// Whether a key is there and null, which can mean something else than its absence.
bool is_null(const JsonReader& config, const std::string& key);
/// A number that normalizations add to variances: `fallback` when `key` is absent.
double read_norm_eps(const JsonReader& config, const std::string& key, double fallback);

/// What a family's rotary positions are where its config.json does not say.
struct RopeDefaults {
    double theta = 10000;
    double rotary_share = 1;  ///< partial_rotary_factor
    /// Whether the family knows that key: others would ignore it, so it is refused.
    bool may_be_partial = false;
    /// Where it is not 0: what the key of that name is when it is absent beside the scaling.
    int64_t original_max_position_embeddings = 0;
};

/// RoPE of either key style: `rope_parameters`, or `rope_theta` and `rope_scaling`. Where both are
/// there, `rope_scaling` replaces `rope_parameters`; what would be lost by that is refused. So are
/// parameters by layer type.
RopeConfig read_rope(const JsonReader& config, int64_t head_dim, int64_t max_position_embeddings,
                     const RopeDefaults& defaults = {});
/// RoPE of the object that holds its parameters (none: no scaling); `defaults` hold for keys that
/// it lacks, and `config` holds what stands beside it.
RopeConfig read_rope_parameters(const JsonReader& config,
                                const std::optional<JsonReader>& parameters, int64_t head_dim,
                                int64_t max_position_embeddings, const RopeDefaults& defaults);
/// An object with members, if `key` is one. Throws FileError for what is no object.
std::optional<JsonReader> find_rope_object(const JsonReader& config, const std::string& key);
/// "silu", "relu", "gelu", "gelu_new", "gelu_pytorch_tanh"
Activation read_activation(const JsonReader& name);
/// A number of at least 0 that switches a feature on: `fallback` when `key` is absent, 0 (off) when
/// it is null.
double read_switch(const JsonReader& config, const std::string& key, double fallback);
/// `sliding_window`, `fallback` when it is absent, 0 when it is null.
int64_t read_sliding_window(const JsonReader& config, int64_t fallback);
/// `window` on the layers that `layer_types` (full_attention or sliding_attention for each of
/// `slides`) names, or where that key is absent, on those for which `slides` [num_layers] holds.
std::vector<int64_t> read_sliding_windows(const JsonReader& config, int64_t window,
                                          const std::vector<bool>& slides);

}  // namespace lowkey
