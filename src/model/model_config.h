#pragma once

#include <cstdint>
#include <string>

#include "io/json_reader.h"
#include "tensor/ops.h"
#include "tensor/rope.h"

namespace lowkey {

/// What a decoder-only transformer is: the switches of the one forward pass. A family's file fills
/// it from config.json.
struct ModelConfig {
    enum class NormPlacement { kBefore, kAfter };
    enum class Positions { kRope, kLearned };

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
    NormPlacement norm_placement = NormPlacement::kBefore;
    bool final_norm = true;

    Positions positions = Positions::kRope;
    RopeConfig rope;                      ///< when positions is kRope
    int64_t learned_position_offset = 0;  ///< rows of the position table before position 0

    bool gated_mlp = true;  ///< down(activation(gate) · up); else down(activation(up))
    Activation activation = Activation::kSilu;

    bool qkv_bias = false;
    bool o_bias = false;
    bool mlp_bias = false;
    bool tie_word_embeddings = false;

    [[nodiscard]] int64_t group_size() const { return num_heads / num_kv_heads; }
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

/// RoPE of either key style: `rope_parameters`, or `rope_theta` and `rope_scaling`.
RopeConfig read_rope(const JsonReader& config, int64_t head_dim, double default_theta,
                     int64_t max_position_embeddings);
/// "silu", "relu", "gelu", "gelu_new", "gelu_pytorch_tanh"
Activation read_activation(const JsonReader& name);

}  // namespace lowkey
