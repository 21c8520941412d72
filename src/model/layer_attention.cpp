#include "model/layer_attention.h"

#include <utility>

#include "base/parallel.h"

namespace lowkey {

class ExactPrompt {
public:
    ExactPrompt(const CacheShape& shape, int64_t layer, int64_t num_tokens, int64_t first_position)
        : layout_(make_layout(shape, layer)),
          pool_(layout_->peak_bytes(num_tokens, num_tokens)),
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

LayerAttention::LayerAttention(const ModelConfig& config, const LayerWeights& weights,
                               int64_t layer, const RotaryTable* rotary,
                               std::span<const SequenceInput> batch, ForwardObserver* observer)
    : config_(config),
      weights_(weights),
      layer_(layer),
      rotary_(rotary),
      batch_(batch),
      observer_(observer),
      num_tokens_(count_tokens(batch)),
      exact_(batch.size()) {
    for (const CacheShape::Head& head : weights.kv_heads) {
        k_at_.push_back(k_size_);
        v_at_.push_back(v_size_);
        k_size_ += head.key_dim;
        v_size_ += head.value_dim;
    }
}

LayerAttention::~LayerAttention() = default;

void LayerAttention::run(const float* x, float* out) {
    const int64_t group = config_.group_size();
    project(x);
    const auto see_qkv = [&](ObservedTokens& seen, int64_t row) {
        seen.q = q_.f32().data() + row * group * k_size_;
        seen.k = k_.f32().data() + row * k_size_;
        seen.v = v_.f32().data() + row * v_size_;
    };
    observe([&](ObservedTokens seen, int64_t row) {
        see_qkv(seen, row);
        observer_->on_projected(seen);
    });
    rotate();
    observe([&](ObservedTokens seen, int64_t row) {
        see_qkv(seen, row);
        observer_->on_rotated(seen);
    });
    attended_ = Tensor(DType::kF32, {num_tokens_, group * v_size_});
    plan_heads();
    append_all(before_attention_);
    attend(tasks_, {.softmax_scale = static_cast<float>(config_.softmax_scale),
                    .softcap = static_cast<float>(config_.attention_softcap)});
    forget_and_reserve();
    append_all(after_attention_);
    observe([&](ObservedTokens seen, int64_t row) {
        seen.out = attended_.f32().data() + row * group * v_size_;
        observer_->on_attention(seen);
    });
    weights_.o->forward(attended_.f32().data(), num_tokens_, out);
}

template <typename Notify>
void LayerAttention::observe(Notify notify) {
    if (observer_ == nullptr) return;
    ObservedTokens seen{.layer = layer_,
                        .q_stride = config_.group_size() * k_size_,
                        .kv_stride = k_size_,
                        .out_stride = config_.group_size() * v_size_};
    int64_t row = 0;
    for (size_t s = 0; s < batch_.size(); ++s) {
        seen.sequence = static_cast<int64_t>(s);
        seen.first_position = batch_[s].cache->num_tokens();
        seen.num_tokens = static_cast<int64_t>(batch_[s].tokens.size());
        notify(seen, row);
        row += seen.num_tokens;
    }
}

void LayerAttention::project(const float* x) {
    q_ = Tensor(DType::kF32, {num_tokens_, config_.group_size() * k_size_});
    k_ = Tensor(DType::kF32, {num_tokens_, k_size_});
    v_ = Tensor(DType::kF32, {num_tokens_, v_size_});
    weights_.q->forward(x, num_tokens_, q_.f32().data());
    weights_.k->forward(x, num_tokens_, k_.f32().data());
    weights_.v->forward(x, num_tokens_, v_.f32().data());
    if (config_.clip_qkv > 0) {
        for (Tensor* t : {&q_, &k_, &v_}) clip(t->f32(), static_cast<float>(config_.clip_qkv));
    }
    // Heads are whole here: nothing folds into the weights before a norm.
    if (weights_.q_norm.present())
        weights_.q_norm.forward(q_.f32().data(), q_.size() / config_.head_dim, q_.f32().data());
    if (weights_.k_norm.present())
        weights_.k_norm.forward(k_.f32().data(), k_.size() / config_.head_dim, k_.f32().data());
}

void LayerAttention::rotate() {
    // Codecs before rotation take the keys as they are now.
    k_before_ = Tensor::convert(k_.view(), DType::kF32);
    if (rotary_ == nullptr) return;
    const int64_t d = config_.head_dim;
    const int64_t q_size = config_.group_size() * k_size_;
    int64_t row = 0;
    for (const SequenceInput& input : batch_) {
        const int64_t length = input.length();
        parallel_for(static_cast<int64_t>(input.tokens.size()), [&](int64_t t) {
            std::vector<float> scratch;
            const RotaryAngles angles =
                rotary_->angles(input.cache->num_tokens() + t, length, scratch);
            float* q = q_.f32().data() + (row + t) * q_size;
            float* k = k_.f32().data() + (row + t) * k_size_;
            for (int64_t i = 0; i < q_size; i += d) rotary_->rotate(q + i, angles);
            for (int64_t i = 0; i < k_size_; i += d) rotary_->rotate(k + i, angles);
        });
        row += static_cast<int64_t>(input.tokens.size());
    }
}

void LayerAttention::plan_heads() {
    const int64_t group = config_.group_size();
    int64_t row = 0;
    for (size_t s = 0; s < batch_.size(); ++s) {
        SequenceCache& cache = *batch_[s].cache;
        const auto count = static_cast<int64_t>(batch_[s].tokens.size());
        if (count == 0) continue;
        if (batch_[s].attends_exactly()) {
            exact_[s] = std::make_unique<ExactPrompt>(cache.layout().shape(), layer_, count,
                                                      cache.num_tokens());
        }
        for (size_t h = 0; h < weights_.kv_heads.size(); ++h) {
            HeadCache& head = cache.head(layer_, static_cast<int64_t>(h));
            AttentionTask task{.caches = {&head},
                               .q = q_.f32().data() + (row * k_size_ + k_at_[h]) * group,
                               .q_stride = group * k_size_,
                               .q_dim = weights_.kv_heads[h].key_dim,
                               .out = attended_.f32().data() + (row * v_size_ + v_at_[h]) * group,
                               .out_stride = group * v_size_,
                               .out_dim = weights_.kv_heads[h].value_dim,
                               .group_size = group,
                               .num_tokens = count,
                               .first_position = cache.num_tokens(),
                               .alibi_slopes = config_.alibi_slopes.empty()
                                                   ? nullptr
                                                   : config_.alibi_slopes.data() +
                                                         static_cast<int64_t>(h) * group};
            if (exact_[s] != nullptr) {
                HeadCache& own = exact_[s]->head(static_cast<int64_t>(h));
                own.reserve(count);
                task.caches.push_back(&own);
                before_attention_.push_back({&own, row, count, h});
                after_attention_.push_back({&head, row, count, h});
            } else {
                head.reserve(count);
                before_attention_.push_back({&head, row, count, h});
            }
            tasks_.push_back(std::move(task));
        }
        row += count;
    }
}

void LayerAttention::forget_and_reserve() {
    for (const SequenceInput& input : batch_) {
        const auto count = static_cast<int64_t>(input.tokens.size());
        for (size_t h = 0; h < weights_.kv_heads.size() && count > 0; ++h) {
            HeadCache& head = input.cache->head(layer_, static_cast<int64_t>(h));
            head.forget(input.cache->num_tokens() + count);
        }
    }
    for (const Append& a : after_attention_) a.cache->reserve(a.count);
}

void LayerAttention::append_all(const std::vector<Append>& appends) {
    parallel_for(static_cast<int64_t>(appends.size()), [&](int64_t i) {
        const Append& a = appends[static_cast<size_t>(i)];
        const int64_t key = a.row * k_size_ + k_at_[a.head];
        const int64_t value = a.row * v_size_ + v_at_[a.head];
        a.cache->append(k_before_.f32().data() + key, k_.f32().data() + key, k_size_,
                        v_.f32().data() + value, v_size_, a.count);
    });
}

}  // namespace lowkey
