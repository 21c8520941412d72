#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kvcache/cache_layout.h"
#include "kvcache/page_pool.h"

namespace lowkey {

/// A run of tokens within one page: what attention streams.
struct PageView {
    const std::byte* keys = nullptr;
    const std::byte* values = nullptr;
    int64_t num_tokens = 0;
    int64_t first_position = 0;
};

/// What one KV head remembers of one sequence.
class HeadCache {
public:
    /// `first_position` is that of the first token that will be appended.
    HeadCache(const HeadLayout& layout, PagePool& pool, int64_t first_position);

    [[nodiscard]] int64_t num_tokens() const { return num_tokens_; }
    [[nodiscard]] int64_t first_position() const { return first_position_; }
    [[nodiscard]] const HeadLayout& layout() const { return *layout_; }
    /// Pages taken from the pool.
    [[nodiscard]] int64_t num_pages() const { return num_pages_; }

    /// Takes the pages that `num_tokens` more tokens need. Throws BudgetError; what was taken stays
    /// taken.
    void reserve(int64_t num_tokens);
    /// Says that no query below token `first_query` comes any more: pages that later ones cannot
    /// see go back to the pool. Tokens not yet appended may be among those: append() passes them
    /// over.
    void forget(int64_t first_query);
    /// Appends tokens: keys before and after rotation and values, rows `stride` floats apart (the
    /// codec takes the keys it wants). The pages must have been reserved. Heads may be appended to
    /// in parallel.
    void append(const float* keys_before, const float* keys_after, int64_t key_stride,
                const float* values, int64_t value_stride, int64_t num_tokens);

    /// Segments in the order of positions: sinks (if any), body.
    [[nodiscard]] int64_t num_segments() const { return layout_->num_sinks > 0 ? 2 : 1; }
    [[nodiscard]] const SegmentLayout& segment(int64_t i) const {
        return i == 0 && layout_->num_sinks > 0 ? layout_->sinks : layout_->body;
    }
    /// The non-empty runs of a segment that queries to come may see, in order.
    void segment_pages(int64_t segment, std::vector<PageView>& pages) const;

    /// Key (as the codec keeps it: before or after rotation) and value of the token at an absolute
    /// position, decoded. The position must not be forgotten.
    void read(int64_t position, float* key, float* value) const;

private:
    /// Where body tile `tile` lies: its page's first key and value byte and the tile's number in
    /// the page.
    struct TilePlace {
        std::byte* keys;
        std::byte* values;
        int64_t tile;
        int64_t page_tiles;
    };
    [[nodiscard]] TilePlace place(int64_t tile) const;

    const HeadLayout* layout_;
    PagePool* pool_;
    int64_t first_position_;
    int64_t num_tokens_ = 0;
    bool sinks_held_ = true;
    int64_t first_tile_ = 0;      // body tiles before this one are forgotten
    int64_t first_page_ = 1;      // pages from 1 to before this one are gone
    std::vector<PageRef> pages_;  // by number; null where forgotten or not reserved
    int64_t num_pages_ = 0;
};

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

    /// Bytes of the further pages that growing by `num_tokens` tokens, at most `step` at a time,
    /// can need.
    [[nodiscard]] int64_t bytes_to_grow(int64_t num_tokens, int64_t step) const;
    /// The same for one step of all of them.
    [[nodiscard]] int64_t bytes_to_grow(int64_t num_tokens) const {
        return bytes_to_grow(num_tokens, num_tokens);
    }

private:
    std::shared_ptr<const CacheLayout> layout_;
    PagePool* pool_;
    int64_t num_tokens_ = 0;
    std::vector<HeadCache> heads_;
};

}  // namespace lowkey
