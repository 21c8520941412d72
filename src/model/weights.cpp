#include "model/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "model/family.h"
#include "model/weight_reader.h"

namespace lowkey {
namespace {

using SharedLinear = std::shared_ptr<const Linear>;

bool same_bytes(const TensorView& a, const TensorView& b) {
    return a.dtype == b.dtype && a.shape == b.shape &&
           std::memcmp(a.data, b.data, static_cast<size_t>(a.bytes())) == 0;
}

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

class Loader {
public:
    Loader(const Checkpoint& checkpoint, const ModelConfig& config, DType dtype)
        : reader_(checkpoint, dtype),
          config_(config),
          names_(find_family(config.model_type, checkpoint.config_path()).names),
          dtype_(dtype),
          prefix_(find_prefix()) {}

    [[nodiscard]] const TensorNames& names() const { return names_; }
    [[nodiscard]] const WeightReader& reader() const { return reader_; }
    [[nodiscard]] std::string name(std::string pattern, int64_t layer = 0) const {
        return with_prefix(prefix_, std::move(pattern), layer);
    }

    [[nodiscard]] SharedLinear linear(const std::string& full_name, int64_t in, int64_t out,
                                      bool has_bias) {
        return std::move(slices(full_name, in, {out}, has_bias).front());
    }

    /// A tensor whose rows are those of several layers, one after another: their `outs` add up to
    /// its own.
    [[nodiscard]] std::vector<SharedLinear> slices(const std::string& full_name, int64_t in,
                                                   const std::vector<int64_t>& outs,
                                                   bool has_bias) {
        const int64_t total = std::accumulate(outs.begin(), outs.end(), int64_t{0});
        Tensor made = reader_.make(full_name + ".weight", {total, in});
        TensorView rows =
            made.empty() ? reader_.read(full_name + ".weight", {total, in}) : made.view();
        std::vector<float> bias;
        if (has_bias) bias = to_f32(reader_.read(full_name + ".bias", {total}));
        std::vector<SharedLinear> linears;
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

    [[nodiscard]] Norm norm(const std::string& full_name, int64_t size) {
        Norm norm;
        norm.kind = config_.norm_kind;
        norm.eps = config_.norm_eps;
        norm.weight = to_f32(reader_.read(full_name + ".weight", {size}));
        for (float& w : norm.weight) w += static_cast<float>(config_.norm_weight_offset);
        if (norm.kind == Norm::Kind::kLayer && config_.norm_bias)
            norm.bias = to_f32(reader_.read(full_name + ".bias", {size}));
        return norm;
    }

    /// The embedding, the positions and what stands between them and the layers.
    void load_ends(ModelWeights& w) {
        const ModelConfig& c = config_;
        w.embedding = reader_.read(embedding_name(), {c.vocab_size, c.embedding_size});
        if (c.positions == ModelConfig::Positions::kLearned) {
            w.positions = to_f32(reader_.read(
                name(names_.position_embedding) + ".weight",
                {c.learned_position_offset + c.max_position_embeddings, c.hidden_size}));
        }
        if (c.embedding_size != c.hidden_size) {
            w.project_in = linear(name(names_.project_in), c.embedding_size, c.hidden_size, false);
            w.project_out =
                linear(name(names_.project_out), c.hidden_size, c.embedding_size, false);
        }
    }
    /// The final norm and the output head.
    void load_head(ModelWeights& w);

    [[nodiscard]] LayerWeights layer(int64_t i) {
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
    static std::string with_prefix(const std::string& prefix, std::string pattern, int64_t layer) {
        if (const size_t at = pattern.find("{}"); at != std::string::npos) {
            pattern.replace(at, 2, std::to_string(layer));
        }
        return prefix + pattern;
    }

    /// The beginning of names, as the first layer's norm has it: quantized checkpoints have it,
    /// too.
    [[nodiscard]] std::string find_prefix() const {
        std::vector<std::string> prefixes = names_.prefixes;
        prefixes.emplace_back();
        for (const std::string& prefix : prefixes) {
            if (reader_.contains(with_prefix(prefix, names_.attention_norm, 0) + ".weight"))
                return prefix;
        }
        return prefixes.front();
    }

    /// The output head's name, where the files have one.
    [[nodiscard]] std::optional<std::string> stored_head() const {
        std::vector<std::string> prefixes = {"", prefix_};
        constexpr std::string_view kModel = "model.";
        if (prefix_.ends_with(kModel))
            prefixes.push_back(prefix_.substr(0, prefix_.size() - kModel.size()));
        for (const std::string& prefix : prefixes) {
            const std::string name = prefix + names_.lm_head + ".weight";
            if (reader_.contains(name)) return name;
        }
        return std::nullopt;
    }
    /// The embedding's name, or that of the output head where the two are one and only that is
    /// stored.
    [[nodiscard]] std::string embedding_name() const {
        std::string own = name(names_.embedding) + ".weight";
        if (reader_.contains(own) || !config_.tie_word_embeddings) return own;
        return stored_head().value_or(own);
    }
    /// What the output head is where config.json says that it is the embedding. Files that hold
    /// another one mean it: so say the models' own implementations.
    [[nodiscard]] TensorView tied_head(ModelWeights& w) {
        const auto head = stored_head();
        if (!head || *head == embedding_name() || !reader_.checkpoint().is_stored())
            return w.embedding;
        const Shape shape = {config_.vocab_size, config_.embedding_size};
        if (same_bytes(reader_.checkpoint().tensor(*head, shape), w.embedding)) {
            reader_.skip(*head);
            return w.embedding;
        }
        w.warnings.push_back(
            "config.json says that the output head is the embedding "
            "(tie_word_embeddings), but '" +
            *head + "' differs from it and is used");
        return reader_.read(*head, shape);
    }

    [[nodiscard]] BlockNorms block_norms(const std::string& own, const std::string& output,
                                         int64_t layer) {
        BlockNorms norms;
        const ModelConfig::NormPlaces& places = config_.norm_places;
        if (places.before) norms.before = norm(name(own, layer), config_.hidden_size);
        if (places.output) norms.output = norm(name(output, layer), config_.hidden_size);
        if (places.after) norms.after = norm(name(own, layer), config_.hidden_size);
        return norms;
    }

    void load_qkv(int64_t layer, LayerWeights& w) {
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

    void load_gate_up(int64_t layer, LayerWeights& w) {
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

    WeightReader reader_;
    const ModelConfig& config_;
    const TensorNames& names_;
    DType dtype_;
    std::string prefix_;
};

void Loader::load_head(ModelWeights& w) {
    const ModelConfig& c = config_;
    if (c.final_norm) w.final_norm = norm(name(names_.final_norm), c.hidden_size);
    const std::string own =
        stored_head().value_or(names_.lm_head + ".weight");  // named where it is missing
    if (!c.tie_word_embeddings && !c.normalize_lm_head) {
        const std::string stem = own.substr(0, own.rfind('.'));
        w.lm_head = linear(stem, c.embedding_size, c.vocab_size, false);
        return;
    }
    const TensorView head =
        c.tie_word_embeddings ? tied_head(w) : reader_.read(own, {c.vocab_size, c.embedding_size});
    w.lm_head =
        c.normalize_lm_head ? normalized_rows(head, dtype_) : make_dense_linear(head, {}, dtype_);
}

}  // namespace

ModelWeights load_weights(std::shared_ptr<const Checkpoint> checkpoint, const ModelConfig& config,
                          DType dtype, const LoadProgress& on_progress) {
    const auto report = [&](int64_t done) {
        if (on_progress) on_progress(done, config.num_layers + 1);
    };
    Loader loader(*checkpoint, config, dtype);
    ModelWeights w;
    loader.load_ends(w);
    for (int64_t i = 0; i < config.num_layers; ++i) {
        w.layers.push_back(loader.layer(i));
        checkpoint->release();
        report(i + 1);
    }
    loader.load_head(w);
    checkpoint->release();
    report(config.num_layers + 1);
    w.fingerprint = loader.reader().fingerprint();
    for (std::string& warning : loader.reader().warnings(loader.names().other_parts))
        w.warnings.push_back(std::move(warning));
    w.checkpoint = std::move(checkpoint);
    return w;
}

}  // namespace lowkey
