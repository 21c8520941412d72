#include "model/exact_prompt.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"

namespace lowkey {
namespace {

/// Copies rows of `width` floats, `stride` apart, into a matrix from row `first` on.
void copy_rows(const float* from, int64_t stride, int64_t width, int64_t num_tokens, int64_t first,
               Tensor& to) {
    float* rows = to.f32().data() + first * width;
    for (int64_t t = 0; t < num_tokens; ++t)
        std::memcpy(rows + t * width, from + t * stride, static_cast<size_t>(width) * 4);
}

bool wants_keys_before_rotation(std::span<const SequenceCache* const> caches, int64_t layer) {
    for (const SequenceCache* cache : caches) {
        for (int64_t h = 0; h < cache->layout().num_kv_heads(); ++h) {
            if (cache->layout().head(layer, h).wants_keys_before_rotation()) return true;
        }
    }
    return false;
}

}  // namespace

ExactPrompt::ExactPrompt(std::vector<SequenceCache*> caches, int64_t layer, int64_t num_tokens)
    : caches_(std::move(caches)),
      layer_(layer),
      num_tokens_(num_tokens),
      layout_(make_layout(caches_.front()->layout().shape(), layer)),
      pool_(layout_->peak_bytes(num_tokens, num_tokens)),
      pages_(layout_, pool_, caches_.front()->num_tokens()) {
    for (SequenceCache* cache : caches_) {
        // Others could have attended through the cache: they take part to spare their pass.
        if (cache->layout().prefill_attention() != PrefillAttention::kExact) continue;
        const SequenceCache* const alone[] = {cache};
        charges_.emplace_back(*cache, bytes(alone, layer, num_tokens));
    }
    for (const CacheShape::Head& head : layout_->shape().layers.front()) {
        k_at_.push_back(k_size_);
        v_at_.push_back(v_size_);
        k_size_ += head.key_dim;
        v_size_ += head.value_dim;
    }
    for (size_t c = 0; c < caches_.size(); ++c) {
        LOWKEY_CHECK(caches_.size() == 1 || caches_[c]->num_tokens() == 0);
        for (size_t h = 0; h < k_at_.size(); ++h) {
            const HeadCache& head = target(c, h);
            Received& got = received_.emplace_back();
            if (!head.layout().selects()) continue;
            got.num_cached = head.num_held();
            got.sums.resize(static_cast<size_t>(got.num_cached + num_tokens));
        }
    }
    k_after_ = Tensor(DType::kF32, {num_tokens, k_size_});
    if (wants_keys_before_rotation(caches_, layer))
        k_before_ = Tensor(DType::kF32, {num_tokens, k_size_});
    v_ = Tensor(DType::kF32, {num_tokens, v_size_});
}

int64_t ExactPrompt::bytes(std::span<const SequenceCache* const> caches, int64_t layer,
                           int64_t num_tokens) {
    const CacheShape& shape = caches.front()->layout().shape();
    const int64_t before = wants_keys_before_rotation(caches, layer) ? 1 : 0;
    int64_t bytes = 0;
    for (const CacheShape::Head& head : shape.layers[static_cast<size_t>(layer)]) {
        const int64_t tile =
            kTileTokens * (head.key_dim + head.value_dim) * dtype_bytes(shape.dtype);
        const int64_t page_tiles = std::max<int64_t>(1, kPageBytes / tile);
        bytes += (tiles_for(num_tokens) + page_tiles - 1) / page_tiles * kPageBytes;
        bytes += num_tokens * ((1 + before) * head.key_dim + head.value_dim) *
                 static_cast<int64_t>(sizeof(float));
    }
    return bytes;
}

std::shared_ptr<const CacheLayout> ExactPrompt::make_layout(CacheShape shape, int64_t layer) {
    shape.layers = {shape.layers[static_cast<size_t>(layer)]};
    const auto heads = static_cast<int64_t>(shape.layers.front().size());
    return std::make_shared<CacheLayout>(CachePlan::dense(1, heads), shape);
}

void ExactPrompt::append(const TokenRows& rows) {
    const int64_t count = rows.num_tokens;
    LOWKEY_CHECK(num_appended_ + count <= num_tokens_);
    if (!k_before_.empty())
        copy_rows(rows.keys_before, rows.key_stride, k_size_, count, num_appended_, k_before_);
    copy_rows(rows.keys_after, rows.key_stride, k_size_, count, num_appended_, k_after_);
    copy_rows(rows.values, rows.value_stride, v_size_, count, num_appended_, v_);
    num_appended_ += count;
    for (size_t h = 0; h < k_at_.size(); ++h)
        pages_.head(0, static_cast<int64_t>(h)).reserve(count);
    parallel_for(std::ssize(k_at_), [&](int64_t h) {
        const auto at = static_cast<size_t>(h);
        TokenRows own = rows;
        own.keys_before += k_at_[at];
        own.keys_after += k_at_[at];
        own.values += v_at_[at];
        pages_.head(0, h).append(own);
    });
}

std::vector<AttentionObserver> ExactPrompt::observers(int64_t kv_head, int64_t first,
                                                      int64_t count) {
    std::vector<AttentionObserver> all;
    for (size_t c = 0; c < caches_.size(); ++c) {
        const auto h = static_cast<size_t>(kv_head);
        Received& got = received(c, h);
        if (got.sums.empty()) continue;
        const int64_t observed =
            target(c, h).layout().policy->first_observed(true, num_tokens_) - first;
        if (observed < count) all.push_back({got.sums.data(), std::max<int64_t>(0, observed)});
    }
    return all;
}

TokenRows ExactPrompt::rows(size_t kv_head) const {
    const Tensor& before = k_before_.empty() ? k_after_ : k_before_;
    return {before.f32().data() + k_at_[kv_head],
            k_after_.f32().data() + k_at_[kv_head],
            k_size_,
            v_.f32().data() + v_at_[kv_head],
            v_size_,
            num_tokens_};
}

void ExactPrompt::write() {
    for (size_t c = 0; c < caches_.size(); ++c) write(c);
}

void ExactPrompt::write(size_t cache) {
    std::vector<std::vector<int64_t>> entering(k_at_.size());
    const auto arriving = [&](size_t h) {
        const Received& got = received(cache, h);
        return std::span(got.sums).subspan(static_cast<size_t>(got.num_cached));
    };
    for (size_t h = 0; h < k_at_.size(); ++h) {
        HeadCache& head = target(cache, h);
        const bool selects = head.layout().selects();
        if (selects) {
            const Received& got = received(cache, h);
            entering[h] = head.select(
                std::span(got.sums).first(static_cast<size_t>(got.num_cached)), arriving(h), true);
        }
        head.forget(caches_[cache]->num_tokens() + num_tokens_);
        head.reserve(num_tokens_, selects ? std::ssize(entering[h]) : num_tokens_);
    }
    parallel_for(std::ssize(k_at_), [&](int64_t h) {
        const auto at = static_cast<size_t>(h);
        HeadCache& head = target(cache, at);
        if (!head.layout().selects()) {
            head.append(rows(at));
            return;
        }
        std::vector<double> attention;
        for (const int64_t token : entering[at])
            attention.push_back(arriving(at)[static_cast<size_t>(token)]);
        head.append_selected(rows(at), entering[at], attention);
    });
}

}  // namespace lowkey
