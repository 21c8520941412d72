#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "attention/attention.h"
#include "base/error.h"
#include "base/parallel.h"

namespace lowkey {
namespace {

// Tokens whose MLP activations are held at a time.
constexpr int64_t kMlpTokens = 512;

int64_t count_tokens(std::span<const SequenceInput> batch) {
    int64_t n = 0;
    for (const SequenceInput& input : batch) n += static_cast<int64_t>(input.tokens.size());
    return n;
}

/// Throws BudgetError when the batch's caches, which may share a pool, cannot all grow.
void check_room(std::span<const SequenceInput> batch) {
    for (const SequenceInput& input : batch) {
        int64_t needed = 0;  // by all sequences of this one's pool
        for (const SequenceInput& other : batch) {
            if (&other.cache->pool() == &input.cache->pool()) {
                needed += other.cache->bytes_to_grow(static_cast<int64_t>(other.tokens.size()));
            }
        }
        const int64_t free = input.cache->pool().free_pages() * kPageBytes;
        if (needed > free) {
            throw BudgetError(
                needed, free,
                std::to_string(input.tokens.size()) + " tokens after " +
                    std::to_string(input.cache->num_tokens()) + " cached ones",
                "raise --kv-budget, shorten the request, or use a plan with a smaller cache");
        }
    }
}

/// Where each KV head's vectors start in rows of q, k, v and of attention's output.
struct HeadOffsets {
    explicit HeadOffsets(const LayerWeights& layer, int64_t group_size) {
        for (const CacheShape::Head& head : layer.kv_heads) {
            k.push_back(k_size);
            v.push_back(v_size);
            k_size += head.key_dim;
            v_size += head.value_dim;
        }
        group = group_size;
    }
    [[nodiscard]] int64_t q_at(size_t head) const { return group * k[head]; }
    [[nodiscard]] int64_t out_at(size_t head) const { return group * v[head]; }

    std::vector<int64_t> k;
    std::vector<int64_t> v;
    int64_t k_size = 0;
    int64_t v_size = 0;
    int64_t group = 1;
};

/// The uncompressed keys and values of one layer's prompt tokens, for the time of its attention.
class ExactPrompt {
public:
    ExactPrompt(const CacheShape& shape, int64_t layer, int64_t num_tokens, int64_t first_position)
        : layout_(make_layout(shape, layer)),
          pool_(layout_->bytes_for(num_tokens)),
          cache_(layout_, pool_, first_position) {}
    [[nodiscard]] HeadCache& head(int64_t kv_head) { return cache_.head(0, kv_head); }

private:
    static std::shared_ptr<const CacheLayout> make_layout(CacheShape shape, int64_t layer) {
        shape.layers = {shape.layers[static_cast<size_t>(layer)]};
        const auto heads = static_cast<int64_t>(shape.layers.front().size());
        return std::make_shared<CacheLayout>(CachePlan::dense(1, heads), shape);
    }
    std::shared_ptr<const CacheLayout> layout_;
    PagePool pool_;
    SequenceCache cache_;
};

}  // namespace

std::shared_ptr<const Model> Model::load(const std::string& directory,
                                         const ModelOptions& options) {
    auto checkpoint = std::make_shared<const Checkpoint>(directory);
    ModelConfig config = ModelConfig::read(checkpoint->config(), checkpoint->config_path());
    ModelOptions used = options;
    if (used.max_context == 0) used.max_context = config.max_position_embeddings;
    if (config.positions == ModelConfig::Positions::kLearned &&
        used.max_context > config.max_position_embeddings) {
        throw UsageError("the model has " + std::to_string(config.max_position_embeddings) +
                             " learned positions, not " + std::to_string(used.max_context),
                         directory, "lower --max-context");
    }
    ModelWeights weights = load_weights(std::move(checkpoint), config, options.dtype);
    std::shared_ptr<const RotaryTable> rotary;
    if (config.positions == ModelConfig::Positions::kRope) {
        rotary = std::make_shared<RotaryTable>(config.rope, used.max_context);
    }
    return std::make_shared<const Model>(std::move(config), std::move(weights), used,
                                         std::move(rotary));
}

Model::Model(ModelConfig config, ModelWeights weights, ModelOptions options,
             std::shared_ptr<const RotaryTable> rotary)
    : config_(std::move(config)),
      weights_(std::move(weights)),
      options_(options),
      rotary_(std::move(rotary)) {}

CacheShape Model::cache_shape() const {
    CacheShape shape;
    shape.head_dim = config_.head_dim;
    shape.dtype = options_.dtype;
    shape.rotary = rotary_;
    for (const LayerWeights& layer : weights_.layers) shape.layers.push_back(layer.kv_heads);
    return shape;
}

Tensor Model::embed(std::span<const SequenceInput> batch) const {
    const int64_t size = config_.embedding_size;
    Tensor embedded(DType::kF32, {count_tokens(batch), size});
    float* row = embedded.f32().data();
    for (const SequenceInput& input : batch) {
        for (const int32_t token : input.tokens) {
            if (token < 0 || token >= config_.vocab_size) {
                throw UsageError("token id " + std::to_string(token) + " is outside the vocabulary",
                                 "the model has ids 0 to " + std::to_string(config_.vocab_size - 1),
                                 "use this model's own tokenizer");
            }
            TensorView view = weights_.embedding;
            view.data += token * size * dtype_bytes(view.dtype);
            view.shape = {size};
            const std::vector<float> values = to_f32(view);
            std::copy(values.begin(), values.end(), row);
            row += size;
        }
    }
    if (weights_.project_in != nullptr) {
        Tensor projected(DType::kF32, {embedded.dim(0), config_.hidden_size});
        weights_.project_in->forward(embedded.f32().data(), embedded.dim(0),
                                     projected.f32().data());
        embedded = std::move(projected);
    }
    if (!weights_.positions.empty()) {
        row = embedded.f32().data();
        for (const SequenceInput& input : batch) {
            for (size_t t = 0; t < input.tokens.size(); ++t) {
                const int64_t pos = input.cache->num_tokens() + static_cast<int64_t>(t) +
                                    config_.learned_position_offset;
                const float* position = weights_.positions.data() + pos * config_.hidden_size;
                for (int64_t i = 0; i < config_.hidden_size; ++i) row[i] += position[i];
                row += config_.hidden_size;
            }
        }
    }
    return embedded;
}

Tensor Model::forward(std::span<const SequenceInput> batch, ForwardObserver* observer) const {
    for (const SequenceInput& input : batch) {
        const auto count = static_cast<int64_t>(input.tokens.size());
        const int64_t length = input.cache->num_tokens() + count;
        if (length > max_context()) {
            throw UsageError(std::to_string(length) + " tokens do not fit the context of " +
                                 std::to_string(max_context()),
                             "",
                             "shorten the text, or raise --max-context where the model allows it");
        }
    }
    check_room(batch);
    Tensor hidden = embed(batch);
    for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
        run_layer(layer, batch, hidden.f32().data(), observer);
    }
    for (const SequenceInput& input : batch) {
        input.cache->set_num_tokens(input.cache->num_tokens() +
                                    static_cast<int64_t>(input.tokens.size()));
    }
    return hidden;
}

void Model::run_layer(int64_t layer, std::span<const SequenceInput> batch, float* hidden,
                      ForwardObserver* observer) const {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const int64_t n = count_tokens(batch);
    const auto size = static_cast<size_t>(n * config_.hidden_size);
    const std::span<float> residual(hidden, size);
    std::vector<float> x(size);
    std::vector<float> out(size);
    const bool before = config_.norm_placement == ModelConfig::NormPlacement::kBefore;

    if (before) w.attention_norm.forward(hidden, n, x.data());
    attention(layer, batch, before ? x.data() : hidden, out.data(), observer);
    add(residual, out);
    if (!before) w.attention_norm.forward(hidden, n, hidden);

    if (before) w.mlp_norm.forward(hidden, n, x.data());
    mlp(layer, before ? x.data() : hidden, n, out.data());
    add(residual, out);
    if (!before) w.mlp_norm.forward(hidden, n, hidden);
    if (observer != nullptr) observer->on_layer_output(layer, hidden, n);
}

void Model::attention(int64_t layer, std::span<const SequenceInput> batch, const float* x,
                      float* out, ForwardObserver* observer) const {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const HeadOffsets at(w, config_.group_size());
    const int64_t n = count_tokens(batch);
    const int64_t group = config_.group_size();
    const int64_t q_stride = at.k_size * group;
    const int64_t out_stride = at.v_size * group;
    Tensor q(DType::kF32, {n, q_stride});
    Tensor k(DType::kF32, {n, at.k_size});
    Tensor v(DType::kF32, {n, at.v_size});
    w.q->forward(x, n, q.f32().data());
    w.k->forward(x, n, k.f32().data());
    w.v->forward(x, n, v.f32().data());

    ObservedTokens seen{
        .layer = layer, .q_stride = q_stride, .kv_stride = at.k_size, .out_stride = out_stride};
    const auto observe = [&](auto notify) {
        if (observer == nullptr) return;
        int64_t row = 0;
        for (size_t s = 0; s < batch.size(); ++s) {
            seen.sequence = static_cast<int64_t>(s);
            seen.first_position = batch[s].cache->num_tokens();
            seen.num_tokens = static_cast<int64_t>(batch[s].tokens.size());
            notify(row);
            row += seen.num_tokens;
        }
    };
    const auto set_qkv = [&](int64_t row) {
        seen.q = q.f32().data() + row * q_stride;
        seen.k = k.f32().data() + row * at.k_size;
        seen.v = v.f32().data() + row * at.v_size;
    };
    observe([&](int64_t row) {
        set_qkv(row);
        observer->on_projected(seen);
    });

    // Codecs before rotation take the keys as they are now.
    Tensor rotated(DType::kF32, {n, at.k_size});
    std::memcpy(rotated.data(), k.data(), static_cast<size_t>(k.bytes()));
    std::swap(k, rotated);
    const Tensor& k_before = rotated;
    if (rotary_ != nullptr) {
        std::vector<int64_t> positions;
        for (const SequenceInput& input : batch) {
            for (size_t t = 0; t < input.tokens.size(); ++t) {
                positions.push_back(input.cache->num_tokens() + static_cast<int64_t>(t));
            }
        }
        const int64_t d = config_.head_dim;
        parallel_for(n, [&](int64_t t) {
            const int64_t pos = positions[static_cast<size_t>(t)];
            for (int64_t i = 0; i < q_stride; i += d)
                rotary_->rotate(q.f32().data() + t * q_stride + i, pos);
            for (int64_t i = 0; i < at.k_size; i += d)
                rotary_->rotate(k.f32().data() + t * at.k_size + i, pos);
        });
    }
    observe([&](int64_t row) {
        set_qkv(row);
        observer->on_rotated(seen);
    });

    Tensor attended(DType::kF32, {n, out_stride});
    std::vector<AttentionTask> tasks;
    std::vector<std::unique_ptr<ExactPrompt>> exact(batch.size());
    struct Append {
        HeadCache* cache;
        int64_t row;
        int64_t count;
        size_t head;
    };
    std::vector<Append> now;    // before attention
    std::vector<Append> later;  // after it
    int64_t row = 0;
    for (size_t s = 0; s < batch.size(); ++s) {
        SequenceCache& cache = *batch[s].cache;
        const auto count = static_cast<int64_t>(batch[s].tokens.size());
        const bool is_exact = batch[s].prompt &&
                              cache.layout().prefill_attention() == PrefillAttention::kExact &&
                              count > 0;
        if (is_exact) {
            exact[s] = std::make_unique<ExactPrompt>(cache.layout().shape(), layer, count,
                                                     cache.num_tokens());
        }
        for (size_t h = 0; h < w.kv_heads.size() && count > 0; ++h) {
            const auto head = static_cast<int64_t>(h);
            AttentionTask task{.caches = {&cache.head(layer, head)},
                               .q = q.f32().data() + row * q_stride + at.q_at(h),
                               .q_stride = q_stride,
                               .q_dim = w.kv_heads[h].key_dim,
                               .out = attended.f32().data() + row * out_stride + at.out_at(h),
                               .out_stride = out_stride,
                               .out_dim = w.kv_heads[h].value_dim,
                               .group_size = group,
                               .num_tokens = count,
                               .first_position = cache.num_tokens()};
            cache.head(layer, head).reserve(count);
            const Append append{&cache.head(layer, head), row, count, h};
            if (is_exact) {
                HeadCache& own = exact[s]->head(head);
                own.reserve(count);
                task.caches.push_back(&own);
                now.push_back({&own, row, count, h});
                later.push_back(append);
            } else {
                now.push_back(append);
            }
            tasks.push_back(std::move(task));
        }
        row += count;
    }
    const auto append_all = [&](const std::vector<Append>& appends) {
        parallel_for(static_cast<int64_t>(appends.size()), [&](int64_t i) {
            const Append& a = appends[static_cast<size_t>(i)];
            const int64_t key = a.row * at.k_size + at.k[a.head];
            a.cache->append(k_before.f32().data() + key, k.f32().data() + key, at.k_size,
                            v.f32().data() + a.row * at.v_size + at.v[a.head], at.v_size, a.count);
        });
    };
    append_all(now);
    attend(tasks, static_cast<float>(1 / std::sqrt(static_cast<double>(config_.head_dim))));
    append_all(later);

    observe([&](int64_t first) {
        seen.q = seen.k = seen.v = nullptr;
        seen.out = attended.f32().data() + first * out_stride;
        observer->on_attention(seen);
    });
    w.o->forward(attended.f32().data(), n, out);
}

void Model::mlp(int64_t layer, const float* x, int64_t num_tokens, float* out) const {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const int64_t block = std::min(kMlpTokens, num_tokens);
    Tensor up(DType::kF32, {block, config_.intermediate_size});
    Tensor gate(DType::kF32, {config_.gated_mlp ? block : 0, config_.intermediate_size});
    for (int64_t t = 0; t < num_tokens; t += kMlpTokens) {
        const int64_t count = std::min(kMlpTokens, num_tokens - t);
        const auto size = static_cast<size_t>(count * config_.intermediate_size);
        const float* from = x + t * config_.hidden_size;
        const std::span<float> inner = (config_.gated_mlp ? gate : up).f32().first(size);
        w.up->forward(from, count, up.f32().data());
        if (config_.gated_mlp) {
            w.gate->forward(from, count, gate.f32().data());
            apply_gated_activation(config_.activation, inner, up.f32().first(size));
        } else {
            apply_activation(config_.activation, inner);
        }
        w.down->forward(inner.data(), count, out + t * config_.hidden_size);
    }
}

void Model::logits(const float* hidden, int64_t num_tokens, float* logits) const {
    Tensor x(DType::kF32, {num_tokens, config_.hidden_size});
    if (config_.final_norm) {
        weights_.final_norm.forward(hidden, num_tokens, x.f32().data());
    } else {
        std::memcpy(x.data(), hidden, static_cast<size_t>(x.bytes()));
    }
    if (weights_.project_out != nullptr) {
        Tensor projected(DType::kF32, {num_tokens, config_.embedding_size});
        weights_.project_out->forward(x.f32().data(), num_tokens, projected.f32().data());
        x = std::move(projected);
    }
    weights_.lm_head->forward(x.f32().data(), num_tokens, logits);
}

}  // namespace lowkey
