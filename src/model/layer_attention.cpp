#include "model/layer_attention.h"

#include <algorithm>
#include <utility>

#include "base/parallel.h"
#include "base/phase_times.h"
#include "model/exact_prompt.h"

namespace lowkey {

LayerAttention::LayerAttention(const ModelConfig& config, const LayerWeights& weights,
                               int64_t layer, const RotaryTable* rotary,
                               std::span<const SequenceInput> batch, ForwardObserver* observer,
                               ForwardBuffers& buffers)
    : config_(config),
      weights_(weights),
      layer_(layer),
      rotary_(rotary),
      batch_(batch),
      observer_(observer),
      buffers_(buffers.scratch),
      attention_buffers_(buffers.attention) {
    for (const CacheShape::Head& head : weights.kv_heads) {
        k_at_.push_back(k_size_);
        v_at_.push_back(v_size_);
        k_size_ += head.key_dim;
        v_size_ += head.value_dim;
    }
    for (const SequenceInput& input : batch) {
        const auto count = static_cast<int64_t>(input.tokens.size());
        auto& exact = exact_.emplace_back();
        if (count == 0) continue;
        std::vector<SequenceCache*> caches = input.caches();
        for (SequenceCache* cache : caches) {
            for (int64_t h = 0; h < std::ssize(weights.kv_heads); ++h) {
                HeadCache& head = cache->head(layer, h);
                head.begin_step(/*selects_late=*/count == 1 && !input.attends_exactly());
                if (input.prompt) head.begin_prompt(input.length());
                wants_before_ = wants_before_ || head.layout().wants_keys_before_rotation();
            }
        }
        if (input.attends_exactly())
            exact = std::make_unique<ExactPrompt>(std::move(caches), layer, count);
    }
}

LayerAttention::~LayerAttention() = default;

void LayerAttention::run(std::span<const SequenceInput> slice, const float* x, float* out) {
    slice_ = slice;
    num_tokens_ = count_tokens(slice);
    const int64_t group = config_.group_size();
    project(x);
    const auto see_qkv = [&](ObservedTokens& seen, int64_t row) {
        seen.q = q_.data() + row * group * k_size_;
        seen.k = k_.data() + row * k_size_;
        seen.v = v_.data() + row * v_size_;
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
    attended_ = take(buffers_, Buffer::kAttended, num_tokens_ * group * v_size_);
    append();
    attend_all();
    retire();
    observe([&](ObservedTokens seen, int64_t row) {
        seen.out = attended_.data() + row * group * v_size_;
        observer_->on_attention(seen);
    });
    const PhaseTimer timer(Phase::kLinear);
    LinearInput input(attended_.data(), num_tokens_, group * v_size_, buffers_);
    const LinearCall call{weights_.o.get(), out};
    forward_all(input, {&call, 1});
}

void LayerAttention::finish() {
    const PhaseTimer timer(Phase::kEncode);
    for (const auto& exact : exact_) {
        if (exact != nullptr) exact->write();
    }
}

template <typename Notify>
void LayerAttention::observe(Notify notify) {
    if (observer_ == nullptr) return;
    ObservedTokens seen{.layer = layer_,
                        .q_stride = config_.group_size() * k_size_,
                        .kv_stride = k_size_,
                        .out_stride = config_.group_size() * v_size_};
    int64_t row = 0;
    for (const SequenceInput& input : slice_) {
        seen.sequence = input.index;
        seen.first_position = input.first_token();
        seen.num_tokens = static_cast<int64_t>(input.tokens.size());
        notify(seen, row);
        row += seen.num_tokens;
    }
}

void LayerAttention::project(const float* x) {
    const PhaseTimer timer(Phase::kLinear);
    q_ = take(buffers_, Buffer::kQueries, num_tokens_ * config_.group_size() * k_size_);
    k_ = take(buffers_, Buffer::kKeys, num_tokens_ * k_size_);
    v_ = take(buffers_, Buffer::kValues, num_tokens_ * v_size_);
    LinearInput input(x, num_tokens_, config_.hidden_size, buffers_);
    const LinearCall calls[] = {{weights_.q.get(), q_.data()},
                                {weights_.k.get(), k_.data()},
                                {weights_.v.get(), v_.data()}};
    forward_all(input, calls);
    if (config_.clip_qkv > 0) {
        for (const auto part : {q_, k_, v_}) clip(part, static_cast<float>(config_.clip_qkv));
    }
    // Heads are whole here: nothing folds into the weights before a norm.
    if (weights_.q_norm.present())
        weights_.q_norm.forward(q_.data(), std::ssize(q_) / config_.head_dim, q_.data());
    if (weights_.k_norm.present())
        weights_.k_norm.forward(k_.data(), std::ssize(k_) / config_.head_dim, k_.data());
}

void LayerAttention::rotate() {
    k_before_ = k_;
    if (rotary_ == nullptr) return;
    // Codecs before rotation take the keys as they are now.
    if (wants_before_) k_before_ = take(buffers_, Buffer::kKeysBefore, std::ssize(k_));
    const int64_t d = config_.head_dim;
    const int64_t q_size = config_.group_size() * k_size_;
    int64_t row = 0;
    for (const SequenceInput& input : slice_) {
        const int64_t length = input.length();
        parallel_for(static_cast<int64_t>(input.tokens.size()), [&](int64_t t) {
            std::vector<float> scratch;
            const RotaryAngles angles = rotary_->angles(input.first_token() + t, length, scratch);
            float* q = q_.data() + (row + t) * q_size;
            float* k = k_.data() + (row + t) * k_size_;
            if (wants_before_) std::copy_n(k, k_size_, k_before_.data() + (row + t) * k_size_);
            for (int64_t i = 0; i < q_size; i += d) rotary_->rotate(q + i, angles);
            for (int64_t i = 0; i < k_size_; i += d) rotary_->rotate(k + i, angles);
        });
        row += static_cast<int64_t>(input.tokens.size());
    }
}

TokenRows LayerAttention::rows(int64_t first, int64_t count, size_t head) const {
    const int64_t key = first * k_size_ + k_at_[head];
    return {k_before_.data() + key,
            k_.data() + key,
            k_size_,
            v_.data() + first * v_size_ + v_at_[head],
            v_size_,
            count};
}

void LayerAttention::append() {
    const PhaseTimer timer(Phase::kEncode);
    steps_.clear();
    int64_t row = 0;
    for (size_t s = 0; s < slice_.size(); ++s) {
        const SequenceInput& input = slice_[s];
        const auto count = static_cast<int64_t>(input.tokens.size());
        if (count == 0) continue;
        ExactPrompt* exact = exact_[static_cast<size_t>(input.index)].get();
        for (size_t h = 0; h < weights_.kv_heads.size(); ++h) {
            HeadCache& head = input.cache->head(layer_, static_cast<int64_t>(h));
            head.reserve(exact == nullptr ? count : 0);
            steps_.push_back({s, h, &head, exact, row});
        }
        if (exact != nullptr) exact->append(rows(row, count, 0));
        row += count;
    }
    parallel_for(std::ssize(steps_), [&](int64_t i) {
        HeadStep& step = steps_[static_cast<size_t>(i)];
        const SequenceInput& input = slice_[step.input];
        const auto count = static_cast<int64_t>(input.tokens.size());
        if (step.exact == nullptr) step.cache->append(rows(step.row, count, step.head));
        step.cache->settle(input.first_token(), count);
    });
}

void LayerAttention::attend_all() {
    const PhaseTimer timer(Phase::kAttention);
    const int64_t group = config_.group_size();
    std::vector<AttentionTask> tasks;
    for (HeadStep& step : steps_) {
        const SequenceInput& input = slice_[step.input];
        const auto head = static_cast<int64_t>(step.head);
        AttentionTask task{
            .caches = {step.cache},
            .q = q_.data() + (step.row * k_size_ + k_at_[step.head]) * group,
            .q_stride = group * k_size_,
            .q_dim = weights_.kv_heads[step.head].key_dim,
            .out = attended_.data() + (step.row * v_size_ + v_at_[step.head]) * group,
            .out_stride = group * v_size_,
            .out_dim = weights_.kv_heads[step.head].value_dim,
            .group_size = group,
            .num_tokens = static_cast<int64_t>(input.tokens.size()),
            .first_position = input.first_token(),
            .rotary = rotary_,
            .alibi_slopes = config_.alibi_slopes.empty()
                                ? nullptr
                                : config_.alibi_slopes.data() + head * group};
        if (step.exact != nullptr) {
            task.caches.push_back(&step.exact->head(head));
            task.observers = step.exact->observers(head, input.offset, task.num_tokens);
        } else if (step.cache->layout().selects()) {
            const std::span<double> received = step.cache->new_received();
            // Of a prompt in slices, its last queries count.
            const SequenceInput& whole = batch_[static_cast<size_t>(input.index)];
            const int64_t first =
                std::max<int64_t>(0, step.cache->layout().policy->first_observed(
                                         input.prompt, static_cast<int64_t>(whole.tokens.size())) -
                                         input.offset);
            if (first < task.num_tokens) task.observers = {{received.data(), first}};
        }
        tasks.push_back(std::move(task));
    }
    attend(tasks,
           {.softmax_scale = static_cast<float>(config_.softmax_scale),
            .softcap = static_cast<float>(config_.attention_softcap)},
           attention_buffers_);
}

void LayerAttention::retire() {
    const PhaseTimer timer(Phase::kEncode);
    const auto retire_head = [&](int64_t i) {
        HeadStep& step = steps_[static_cast<size_t>(i)];
        if (step.exact != nullptr) return;  // selection waits for the whole prompt
        const SequenceInput& input = slice_[step.input];
        if (step.cache->layout().selects()) step.cache->select_received(input.prompt);
        step.cache->forget(input.first_token() + static_cast<int64_t>(input.tokens.size()));
    };
    // Single tokens leave little to do: what they push out is chosen when the pass ends.
    if (num_tokens_ == std::ssize(slice_)) {
        for (int64_t i = 0; i < std::ssize(steps_); ++i) retire_head(i);
    } else {
        parallel_for(std::ssize(steps_), retire_head);
    }
}

}  // namespace lowkey
