#include "kvcache/sequence_cache.h"

#include <algorithm>
#include <utility>

namespace lowkey {

SequenceCache::SequenceCache(std::shared_ptr<const CacheLayout> layout, PagePool& pool,
                             int64_t first_position)
    : layout_(std::move(layout)), pool_(&pool) {
    for (int64_t layer = 0; layer < layout_->num_layers(); ++layer) {
        for (int64_t head = 0; head < layout_->num_kv_heads(); ++head) {
            heads_.emplace_back(layout_->head(layer, head), pool, first_position);
        }
    }
}

int64_t SequenceCache::bytes_to_grow(int64_t num_tokens, int64_t step, int64_t prompt_end) const {
    int64_t held = 0;
    int64_t replaced = 0;
    int64_t prompt_tokens = prompt_end;
    for (const HeadCache& head : heads_) {
        held += head.num_pages();
        replaced += head.shared_pages_to_replace();
        prompt_tokens = std::max(prompt_tokens, head.prompt_tokens());
    }
    const int64_t total = num_tokens_ + num_tokens;
    const int64_t peak =
        layout_->peak_bytes(step, [&](int64_t layer, int64_t kv_head, int64_t count) {
            return head(layer, kv_head).peak_pages(total, count, prompt_tokens);
        });
    return std::max<int64_t>(0, peak - held * kPageBytes) + replaced * kPageBytes;
}

}  // namespace lowkey
