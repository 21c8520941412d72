#include "model/exact_prompt.h"

#include <algorithm>

#include "base/parallel.h"

namespace lowkey {
namespace {

/// Adds rows of `width` floats, `stride` apart, to the end of a matrix.
void add_rows(std::vector<float>& to, const float* from, int64_t stride, int64_t width,
              int64_t num_tokens) {
    for (int64_t t = 0; t < num_tokens; ++t)
        to.insert(to.end(), from + t * stride, from + t * stride + width);
}

}  // namespace

ExactPrompt::ExactPrompt(SequenceCache& cache, int64_t layer, int64_t num_tokens)
    : cache_(cache),
      layer_(layer),
      num_tokens_(num_tokens),
      layout_(make_layout(cache.layout().shape(), layer)),
      pool_(layout_->peak_bytes(num_tokens, num_tokens)),
      pages_(layout_, pool_, cache.num_tokens()) {
    const auto& heads = cache.layout().shape().layers[static_cast<size_t>(layer)];
    for (size_t h = 0; h < heads.size(); ++h) {
        k_at_.push_back(k_size_);
        v_at_.push_back(v_size_);
        k_size_ += heads[h].key_dim;
        v_size_ += heads[h].value_dim;
        const HeadLayout& own = cache.layout().head(layer, static_cast<int64_t>(h));
        needs_before_ = needs_before_ || own.body.key->before_rotation() ||
                        (own.num_sinks > 0 && own.sinks.key->before_rotation());
        arriving_.emplace_back(own.selects() ? static_cast<size_t>(num_tokens) : 0);
        const HeadCache& head = cache.head(layer, static_cast<int64_t>(h));
        cached_.emplace_back(own.selects() ? static_cast<size_t>(head.num_held()) : 0);
    }
    k_after_.reserve(static_cast<size_t>(num_tokens * k_size_));
    if (needs_before_) k_before_.reserve(k_after_.capacity());
    v_.reserve(static_cast<size_t>(num_tokens * v_size_));
}

std::shared_ptr<const CacheLayout> ExactPrompt::make_layout(CacheShape shape, int64_t layer) {
    shape.layers = {shape.layers[static_cast<size_t>(layer)]};
    const auto heads = static_cast<int64_t>(shape.layers.front().size());
    return std::make_shared<CacheLayout>(CachePlan::dense(1, heads), shape);
}

void ExactPrompt::append(const TokenRows& rows) {
    if (needs_before_)
        add_rows(k_before_, rows.keys_before, rows.key_stride, k_size_, rows.num_tokens);
    add_rows(k_after_, rows.keys_after, rows.key_stride, k_size_, rows.num_tokens);
    add_rows(v_, rows.values, rows.value_stride, v_size_, rows.num_tokens);
    for (size_t h = 0; h < k_at_.size(); ++h)
        pages_.head(0, static_cast<int64_t>(h)).reserve(rows.num_tokens);
    parallel_for(std::ssize(k_at_), [&](int64_t h) {
        const auto at = static_cast<size_t>(h);
        TokenRows own = rows;
        own.keys_before += k_at_[at];
        own.keys_after += k_at_[at];
        own.values += v_at_[at];
        pages_.head(0, h).append(own);
    });
}

TokenRows ExactPrompt::rows(size_t kv_head) const {
    const std::vector<float>& before = needs_before_ ? k_before_ : k_after_;
    return {before.data() + k_at_[kv_head],
            k_after_.data() + k_at_[kv_head],
            k_size_,
            v_.data() + v_at_[kv_head],
            v_size_,
            num_tokens_};
}

void ExactPrompt::write() {
    std::vector<std::vector<int64_t>> entering(k_at_.size());
    for (size_t h = 0; h < k_at_.size(); ++h) {
        HeadCache& head = cache_.head(layer_, static_cast<int64_t>(h));
        if (head.layout().selects()) entering[h] = head.select(cached_[h], arriving_[h], true);
        head.forget(cache_.num_tokens() + num_tokens_);
        head.reserve(num_tokens_, head.layout().selects() ? std::ssize(entering[h]) : num_tokens_);
    }
    parallel_for(std::ssize(k_at_), [&](int64_t h) {
        const auto at = static_cast<size_t>(h);
        HeadCache& head = cache_.head(layer_, h);
        if (!head.layout().selects()) {
            head.append(rows(at));
            return;
        }
        std::vector<double> attention;
        for (const int64_t token : entering[at])
            attention.push_back(arriving_[at][static_cast<size_t>(token)]);
        head.append_selected(rows(at), entering[at], attention);
    });
}

}  // namespace lowkey
