#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kvcache/cache_layout.h"
#include "kvcache/head_cache.h"
#include "kvcache/page_pool.h"

namespace lowkey {

/// The KV cache of one sequence: pages owned by (sequence, layer, KV head).
class SequenceCache {
public:
    SequenceCache(std::shared_ptr<const CacheLayout> layout, PagePool& pool,
                  int64_t first_position = 0);

    [[nodiscard]] const CacheLayout& layout() const { return *layout_; }
    [[nodiscard]] PagePool& pool() const { return *pool_; }
    /// Tokens that every layer holds.
    [[nodiscard]] int64_t num_tokens() const { return num_tokens_; }
    /// Called by the model once all layers have appended.
    void set_num_tokens(int64_t num_tokens) { num_tokens_ = num_tokens; }

    [[nodiscard]] HeadCache& head(int64_t layer, int64_t kv_head) {
        return heads_[static_cast<size_t>(layer * layout_->num_kv_heads() + kv_head)];
    }
    [[nodiscard]] const HeadCache& head(int64_t layer, int64_t kv_head) const {
        return heads_[static_cast<size_t>(layer * layout_->num_kv_heads() + kv_head)];
    }

    /// A second sequence with the same tokens, which shares the pages until either writes to them.
    [[nodiscard]] std::unique_ptr<SequenceCache> fork() const {
        return std::make_unique<SequenceCache>(*this);
    }

    /// Bytes of the further pages that growing by `num_tokens` tokens, at most `step` at a time,
    /// can need, when the first of them end a prompt before token `prompt_end`.
    [[nodiscard]] int64_t bytes_to_grow(int64_t num_tokens, int64_t step, int64_t prompt_end) const;
    /// The same for one step of all of them, a prompt.
    [[nodiscard]] int64_t bytes_to_grow(int64_t num_tokens) const {
        return bytes_to_grow(num_tokens, num_tokens, num_tokens_ + num_tokens);
    }

private:
    std::shared_ptr<const CacheLayout> layout_;
    PagePool* pool_;
    int64_t num_tokens_ = 0;
    std::vector<HeadCache> heads_;
};

}  // namespace lowkey
