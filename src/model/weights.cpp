#include "model/weights.h"

#include <algorithm>
#include <cmath>
#include <numeric>
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
        return std::move(slices(full_name, in, {out}, has_bias).front());
    }

    /// A tensor whose rows are those of several layers, one after another: their `outs` add up to
    /// its own.
    [[nodiscard]] std::vector<std::unique_ptr<Linear>> slices(const std::string& full_name,
                                                              int64_t in,
                                                              const std::vector<int64_t>& outs,
                                                              bool has_bias) const {
        const int64_t total = std::accumulate(outs.begin(), outs.end(), int64_t{0});
        Tensor made = checkpoint_.make_tensor(full_name + ".weight", {total, in});
        TensorView rows =
            made.empty() ? checkpoint_.tensor(full_name + ".weight", {total, in}) : made.view();
        std::vector<float> bias;
        if (has_bias) bias = to_f32(checkpoint_.tensor(full_name + ".bias", {total}));
        std::vector<std::unique_ptr<Linear>> linears;
        if (outs.size() == 1 && made.dtype() == dtype_ && !made.empty()) {
            linears.push_back(make_dense_linear(std::move(made), std::move(bias)));
            return linears;
        }
        auto from = bias.begin();
        for (const int64_t out : outs) {
            rows.shape = {out, in};
            const auto to = has_bias ? from + out : from;
            std::vector<float> own_bias(from, to);
            linears.push_back(made.empty() ? make_dense_linear(rows, std::move(own_bias), dtype_)
                                           : make_dense_linear(Tensor::convert(rows, dtype_),
                                                               std::move(own_bias)));
            from = to;
            rows.data += rows.bytes();
        }
        return linears;
    }

    [[nodiscard]] Norm norm(const std::string& full_name, int64_t size) const {
        Norm norm;
        norm.kind = config_.norm_kind;
        norm.eps = config_.norm_eps;
        norm.weight = to_f32(checkpoint_.tensor(full_name + ".weight", {size}));
        for (float& w : norm.weight) w += static_cast<float>(config_.norm_weight_offset);
        if (norm.kind == Norm::Kind::kLayer && config_.norm_bias)
            norm.bias = to_f32(checkpoint_.tensor(full_name + ".bias", {size}));
        return norm;
    }

    [[nodiscard]] LayerWeights layer(int64_t i) const {
        const ModelConfig& c = config_;
        LayerWeights w;
        w.attention_norms = block_norms(names_.attention_norm, names_.attention_output_norm, i);
        load_qkv(i, w);
        w.o = linear(name(names_.o, i), c.num_heads * c.head_dim, c.hidden_size, c.o_bias);
        w.mlp_norms = block_norms(names_.mlp_norm, names_.mlp_output_norm, i);
        load_gate_up(i, w);
        w.down = linear(name(names_.down, i), c.intermediate_size, c.hidden_size, c.mlp_bias);
        w.kv_heads.assign(static_cast<size_t>(c.num_kv_heads),
                          {.key_dim = c.head_dim,
                           .value_dim = c.head_dim,
                           .sliding_window = c.sliding_window(i)});
        return w;
    }

private:
    [[nodiscard]] BlockNorms block_norms(const std::string& own, const std::string& output,
                                         int64_t layer) const {
        BlockNorms norms;
        const ModelConfig::NormPlaces& places = config_.norm_places;
        if (places.before) norms.before = norm(name(own, layer), config_.hidden_size);
        if (places.output) norms.output = norm(name(output, layer), config_.hidden_size);
        if (places.after) norms.after = norm(name(own, layer), config_.hidden_size);
        return norms;
    }

    void load_qkv(int64_t layer, LayerWeights& w) const {
        const ModelConfig& c = config_;
        const int64_t q_size = c.num_heads * c.head_dim;
        const int64_t kv_size = c.num_kv_heads * c.head_dim;
        if (!names_.qkv.empty()) {
            auto qkv = slices(name(names_.qkv, layer), c.hidden_size, {q_size, kv_size, kv_size},
                              c.qkv_bias);
            w.q = std::move(qkv[0]);
            w.k = std::move(qkv[1]);
            w.v = std::move(qkv[2]);
        } else {
            w.q = linear(name(names_.q, layer), c.hidden_size, q_size, c.qkv_bias);
            w.k = linear(name(names_.k, layer), c.hidden_size, kv_size, c.qkv_bias);
            w.v = linear(name(names_.v, layer), c.hidden_size, kv_size, c.qkv_bias);
        }
        if (c.qk_norm) {
            w.q_norm = norm(name(names_.q_norm, layer), c.head_dim);
            w.k_norm = norm(name(names_.k_norm, layer), c.head_dim);
        }
    }

    void load_gate_up(int64_t layer, LayerWeights& w) const {
        const ModelConfig& c = config_;
        if (!names_.gate_up.empty()) {
            auto gate_up = slices(name(names_.gate_up, layer), c.hidden_size,
                                  {c.intermediate_size, c.intermediate_size}, c.mlp_bias);
            w.gate = std::move(gate_up[0]);
            w.up = std::move(gate_up[1]);
            return;
        }
        if (c.gated_mlp) {
            w.gate =
                linear(name(names_.gate, layer), c.hidden_size, c.intermediate_size, c.mlp_bias);
        }
        w.up = linear(name(names_.up, layer), c.hidden_size, c.intermediate_size, c.mlp_bias);
    }

    const Checkpoint& checkpoint_;
    const ModelConfig& config_;
    const TensorNames& names_;
    DType dtype_;
    std::string prefix_;
};

/// The output head with rows of length 1.
std::unique_ptr<Linear> normalized_rows(const TensorView& weight, DType dtype) {
    Tensor rows = Tensor::convert(weight, DType::kF32);
    const int64_t size = rows.dim(1);
    constexpr double kMinNorm = 1e-12;  // rows of zeros stay zeros
    for (int64_t r = 0; r < rows.dim(0); ++r) {
        const auto row =
            rows.f32().subspan(static_cast<size_t>(r * size), static_cast<size_t>(size));
        double square = 0;
        for (const float x : row) square += static_cast<double>(x) * x;
        const double inverse = 1 / std::max(std::sqrt(square), kMinNorm);
        for (float& x : row) x = static_cast<float>(x * inverse);
    }
    return make_dense_linear(Tensor::convert(rows.view(), dtype), {});
}

}  // namespace

ModelWeights load_weights(std::shared_ptr<const Checkpoint> checkpoint, const ModelConfig& config,
                          DType dtype, const LoadProgress& on_progress) {
    const auto report = [&](int64_t done) {
        if (on_progress) on_progress(done, config.num_layers + 1);
    };
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
    for (int64_t i = 0; i < config.num_layers; ++i) {
        w.layers.push_back(loader.layer(i));
        checkpoint->release();
        report(i + 1);
    }
    if (config.final_norm)
        w.final_norm = loader.norm(loader.name(names.final_norm), config.hidden_size);
    if (!config.tie_word_embeddings && !config.normalize_lm_head) {
        w.lm_head = loader.linear(names.lm_head, config.embedding_size, config.vocab_size, false);
    } else {
        const TensorView lm_head =
            config.tie_word_embeddings
                ? w.embedding
                : checkpoint->tensor(names.lm_head + ".weight",
                                     {config.vocab_size, config.embedding_size});
        w.lm_head = config.normalize_lm_head ? normalized_rows(lm_head, dtype)
                                             : make_dense_linear(lm_head, {}, dtype);
    }
    checkpoint->release();
    report(config.num_layers + 1);
    w.checkpoint = std::move(checkpoint);
    return w;
}

}  // namespace lowkey
