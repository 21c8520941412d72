#include "model/fold.h"

#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"

namespace lowkey {
namespace {

/// The codecs of one KV head whose maps go into the weights.
struct HeadFolding {
    std::optional<LinearMaps> key;
    std::optional<LinearMaps> value;
};

HeadFolding find_folding(const HeadPlan& plan, const ModelConfig& config, const HeadLayout& head) {
    HeadFolding folding;
    if (plan.exact_sinks > 0 || plan.exact_recent > 0 || config.clip_qkv > 0) return folding;
    if (head.dims.rotary == nullptr && !config.qk_norm) folding.key = head.body.key->linear_maps();
    folding.value = head.body.value->linear_maps();
    return folding;
}

/// Rows of a [out, in] matrix with a bias, being put together head by head.
class Rows {
public:
    explicit Rows(int64_t in) : in_(in) {}

    /// Appends mapᵀ · (rows [first, first + map rows) of w and bias), so that the layer gives (x wᵀ
    /// + b) · map. In f64.
    void append(const Tensor& w, const std::vector<float>& bias, int64_t first, const Tensor& map) {
        const int64_t from = map.dim(0);
        const int64_t to = map.dim(1);
        const size_t start = weight_.size();
        weight_.resize(start + static_cast<size_t>(to * in_));
        parallel_for(to, [&](int64_t r) {
            std::vector<double> row(static_cast<size_t>(in_), 0.0);
            for (int64_t i = 0; i < from; ++i) {
                const double factor = map.f32()[static_cast<size_t>(i * to + r)];
                const float* source = w.f32().data() + (first + i) * in_;
                for (int64_t c = 0; c < in_; ++c) row[static_cast<size_t>(c)] += factor * source[c];
            }
            for (int64_t c = 0; c < in_; ++c) {
                weight_[start + static_cast<size_t>(r * in_ + c)] =
                    static_cast<float>(row[static_cast<size_t>(c)]);
            }
        });
        for (int64_t r = 0; r < to && !bias.empty(); ++r) {
            double sum = 0;
            for (int64_t i = 0; i < from; ++i) {
                sum += static_cast<double>(map.f32()[static_cast<size_t>(i * to + r)]) *
                       bias[static_cast<size_t>(first + i)];
            }
            bias_.push_back(static_cast<float>(sum));
        }
    }
    /// Appends rows [first, first + count) as they are.
    void append(const Tensor& w, const std::vector<float>& bias, int64_t first, int64_t count) {
        const auto rows =
            w.f32().subspan(static_cast<size_t>(first * in_), static_cast<size_t>(count * in_));
        weight_.insert(weight_.end(), rows.begin(), rows.end());
        if (!bias.empty())
            bias_.insert(bias_.end(), bias.begin() + first, bias.begin() + first + count);
    }

    [[nodiscard]] std::unique_ptr<Linear> finish(DType dtype) && {
        const auto out = static_cast<int64_t>(weight_.size()) / in_;
        const TensorView view{
            reinterpret_cast<const std::byte*>(weight_.data()), DType::kF32, {out, in_}};
        return make_dense_linear(Tensor::convert(view, dtype), std::move(bias_));
    }

private:
    int64_t in_;
    std::vector<float> weight_;
    std::vector<float> bias_;
};

Tensor transpose(const Tensor& m) {
    Tensor out(DType::kF32, {m.dim(1), m.dim(0)});
    for (int64_t r = 0; r < m.dim(0); ++r) {
        for (int64_t c = 0; c < m.dim(1); ++c) {
            out.f32()[static_cast<size_t>(c * m.dim(0) + r)] =
                m.f32()[static_cast<size_t>(r * m.dim(1) + c)];
        }
    }
    return out;
}

/// A projection whose rows are heads of head_dim, `heads_per_map` of them (in a row) mapped by each
/// map.
std::unique_ptr<Linear> fold_rows(const Linear& linear, int64_t head_dim, int64_t heads_per_map,
                                  const std::vector<const Tensor*>& maps, DType dtype) {
    const Tensor w = linear.weight_f32();
    const std::vector<float> bias = linear.bias();
    Rows rows(linear.in_features());
    int64_t first = 0;
    for (const Tensor* map : maps) {
        for (int64_t h = 0; h < heads_per_map; ++h, first += head_dim) {
            if (map != nullptr) {
                rows.append(w, bias, first, *map);
            } else {
                rows.append(w, bias, first, head_dim);
            }
        }
    }
    return std::move(rows).finish(dtype);
}

/// The output projection, whose columns are the heads.
std::unique_ptr<Linear> fold_columns(const Linear& linear, int64_t head_dim, int64_t heads_per_map,
                                     const std::vector<const Tensor*>& maps, DType dtype) {
    // (Wᵀ)'s rows are W's columns; the bias belongs to the rows of W and stays.
    const Tensor w = transpose(linear.weight_f32());
    const auto transposed = make_dense_linear(Tensor::convert(w.view(), DType::kF32), {});
    const auto folded = fold_rows(*transposed, head_dim, heads_per_map, maps, DType::kF32);
    return make_dense_linear(Tensor::convert(transpose(folded->weight_f32()).view(), dtype),
                             linear.bias());
}

/// Weights that do not change are shared with the unfolded model.
LayerWeights fold_layer(const std::shared_ptr<const Model>& model, const LayerWeights& from,
                        const std::vector<HeadFolding>& foldings) {
    const ModelConfig& config = model->config();
    const DType dtype = model->options().dtype;
    std::vector<Tensor> decode_transposed;
    decode_transposed.reserve(foldings.size());
    std::vector<const Tensor*> q_maps;
    std::vector<const Tensor*> k_maps;
    std::vector<const Tensor*> v_maps;
    std::vector<const Tensor*> o_maps;
    bool any_key = false;
    bool any_value = false;
    LayerWeights to;
    to.kv_heads = from.kv_heads;
    for (size_t h = 0; h < foldings.size(); ++h) {
        const HeadFolding& f = foldings[h];
        decode_transposed.push_back(f.key ? transpose(*f.key->decode) : Tensor());
        q_maps.push_back(f.key ? &decode_transposed.back() : nullptr);
        k_maps.push_back(f.key ? f.key->encode.get() : nullptr);
        v_maps.push_back(f.value ? f.value->encode.get() : nullptr);
        o_maps.push_back(f.value ? f.value->decode.get() : nullptr);
        any_key = any_key || f.key.has_value();
        any_value = any_value || f.value.has_value();
        if (f.key) to.kv_heads[h].key_dim = f.key->encode->dim(1);
        if (f.value) to.kv_heads[h].value_dim = f.value->encode->dim(1);
    }
    // A head's columns of Wo become Wo · decodeᵀ, which is decode · its rows of Woᵀ: append()
    // transposes its map.
    std::vector<Tensor> output_maps;
    output_maps.reserve(o_maps.size());
    for (const Tensor*& map : o_maps) {
        if (map == nullptr) continue;
        output_maps.push_back(transpose(*map));
        map = &output_maps.back();
    }
    const int64_t d = config.head_dim;
    const int64_t group = config.group_size();
    to.attention_norms = from.attention_norms;
    to.q_norm = from.q_norm;
    to.k_norm = from.k_norm;
    to.mlp_norms = from.mlp_norms;
    to.q = from.q;
    to.k = from.k;
    to.v = from.v;
    to.o = from.o;
    if (any_key) {
        to.q = fold_rows(*from.q, d, group, q_maps, dtype);
        to.k = fold_rows(*from.k, d, 1, k_maps, dtype);
    }
    if (any_value) {
        to.v = fold_rows(*from.v, d, 1, v_maps, dtype);
        to.o = fold_columns(*from.o, d, group, o_maps, dtype);
    }
    to.gate = from.gate;
    to.up = from.up;
    to.down = from.down;
    return to;
}

}  // namespace

FoldedModel fold(const std::shared_ptr<const Model>& model, const CachePlan& plan) {
    FoldedModel folded{model, plan,
                       std::make_shared<const CacheLayout>(plan, model->cache_shape())};
    if (plan.prefill_attention == PrefillAttention::kExact) return folded;

    bool any = false;
    std::vector<std::vector<HeadFolding>> foldings(plan.layers.size());
    for (size_t layer = 0; layer < plan.layers.size(); ++layer) {
        for (size_t head = 0; head < plan.layers[layer].size(); ++head) {
            HeadFolding f = find_folding(
                plan.layers[layer][head], model->config(),
                folded.layout->head(static_cast<int64_t>(layer), static_cast<int64_t>(head)));
            if (f.key) folded.plan.layers[layer][head].key = f.key->rest;
            if (f.value) folded.plan.layers[layer][head].value = f.value->rest;
            any = any || f.key || f.value;
            foldings[layer].push_back(std::move(f));
        }
    }
    if (!any) return folded;

    const ModelWeights& from = model->weights();
    ModelWeights to;
    to.checkpoint = from.checkpoint;
    to.fingerprint = from.fingerprint;
    to.warnings = from.warnings;
    to.embedding = from.embedding;
    to.positions = from.positions;
    to.project_in = from.project_in;
    to.project_out = from.project_out;
    to.final_norm = from.final_norm;
    to.lm_head = from.lm_head;
    for (size_t layer = 0; layer < from.layers.size(); ++layer) {
        to.layers.push_back(fold_layer(model, from.layers[layer], foldings[layer]));
    }
    folded.model = std::make_shared<const Model>(model->config(), std::move(to), model->options(),
                                                 model->rotaries());
    folded.layout = std::make_shared<const CacheLayout>(folded.plan, folded.model->cache_shape());
    return folded;
}

}  // namespace lowkey
