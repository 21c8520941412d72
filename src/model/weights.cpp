#include "model/weights.h"

#include <string>
#include <utility>

#include "base/error.h"
#include "model/family.h"

namespace lowkey {
namespace {

class Loader {
public:
    Loader(const Checkpoint& checkpoint, const ModelConfig& config, DType dtype)
        : checkpoint_(checkpoint),
          config_(config),
          names_(find_family(config.model_type, checkpoint.config_path()).names),
          dtype_(dtype),
          prefix_(names_.prefixes.front()) {
        for (const std::string& prefix : names_.prefixes) {
            if (checkpoint.contains(prefix + names_.embedding + ".weight")) {
                prefix_ = prefix;
                break;
            }
        }
    }

    [[nodiscard]] const TensorNames& names() const { return names_; }
    [[nodiscard]] std::string name(std::string pattern, int64_t layer = 0) const {
        if (const size_t at = pattern.find("{}"); at != std::string::npos) {
            pattern.replace(at, 2, std::to_string(layer));
        }
        return prefix_ + pattern;
    }

    [[nodiscard]] std::unique_ptr<Linear> linear(const std::string& full_name, int64_t in,
                                                 int64_t out, bool has_bias) const {
        std::vector<float> bias;
        if (has_bias) bias = to_f32(checkpoint_.tensor(full_name + ".bias", {out}));
        return make_dense_linear(checkpoint_.tensor(full_name + ".weight", {out, in}),
                                 std::move(bias), dtype_);
    }

    [[nodiscard]] Norm norm(const std::string& full_name) const {
        Norm norm;
        norm.kind = config_.norm_kind;
        norm.eps = config_.norm_eps;
        norm.weight = to_f32(checkpoint_.tensor(full_name + ".weight", {config_.hidden_size}));
        if (norm.kind == Norm::Kind::kLayer) {
            norm.bias = to_f32(checkpoint_.tensor(full_name + ".bias", {config_.hidden_size}));
        }
        return norm;
    }

    [[nodiscard]] LayerWeights layer(int64_t i) const {
        const ModelConfig& c = config_;
        const int64_t kv_size = c.num_kv_heads * c.head_dim;
        const int64_t q_size = c.num_heads * c.head_dim;
        LayerWeights w;
        w.attention_norm = norm(name(names_.attention_norm, i));
        w.q = linear(name(names_.q, i), c.hidden_size, q_size, c.qkv_bias);
        w.k = linear(name(names_.k, i), c.hidden_size, kv_size, c.qkv_bias);
        w.v = linear(name(names_.v, i), c.hidden_size, kv_size, c.qkv_bias);
        w.o = linear(name(names_.o, i), q_size, c.hidden_size, c.o_bias);
        w.mlp_norm = norm(name(names_.mlp_norm, i));
        if (c.gated_mlp)
            w.gate = linear(name(names_.gate, i), c.hidden_size, c.intermediate_size, c.mlp_bias);
        w.up = linear(name(names_.up, i), c.hidden_size, c.intermediate_size, c.mlp_bias);
        w.down = linear(name(names_.down, i), c.intermediate_size, c.hidden_size, c.mlp_bias);
        w.kv_heads.assign(static_cast<size_t>(c.num_kv_heads), {c.head_dim, c.head_dim});
        return w;
    }

private:
    const Checkpoint& checkpoint_;
    const ModelConfig& config_;
    const TensorNames& names_;
    DType dtype_;
    std::string prefix_;
};

}  // namespace

ModelWeights load_weights(std::shared_ptr<const Checkpoint> checkpoint, const ModelConfig& config,
                          DType dtype) {
    const Loader loader(*checkpoint, config, dtype);
    const TensorNames& names = loader.names();
    ModelWeights w;
    w.embedding = checkpoint->tensor(loader.name(names.embedding) + ".weight",
                                     {config.vocab_size, config.embedding_size});
    if (config.positions == ModelConfig::Positions::kLearned) {
        w.positions = to_f32(checkpoint->tensor(
            loader.name(names.position_embedding) + ".weight",
            {config.learned_position_offset + config.max_position_embeddings, config.hidden_size}));
    }
    if (config.embedding_size != config.hidden_size) {
        w.project_in = loader.linear(loader.name(names.project_in), config.embedding_size,
                                     config.hidden_size, false);
        w.project_out = loader.linear(loader.name(names.project_out), config.hidden_size,
                                      config.embedding_size, false);
    }
    for (int64_t i = 0; i < config.num_layers; ++i) w.layers.push_back(loader.layer(i));
    if (config.final_norm) w.final_norm = loader.norm(loader.name(names.final_norm));
    w.lm_head = config.tie_word_embeddings
                    ? make_dense_linear(w.embedding, {}, dtype)
                    : loader.linear(names.lm_head, config.embedding_size, config.vocab_size, false);
    w.checkpoint = std::move(checkpoint);
    return w;
}

}  // namespace lowkey
