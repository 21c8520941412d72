#include "kvcache/sequence_cache.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"

namespace lowkey {

HeadCache::HeadCache(const HeadLayout& layout, PagePool& pool, int64_t first_position)
    : layout_(&layout), pool_(&pool), first_position_(first_position) {}

void HeadCache::reserve(int64_t num_tokens) {
    const int64_t total = num_tokens_ + num_tokens;
    if (total == 0) return;
    const int64_t end = tiles_for(std::max<int64_t>(0, total - layout_->num_sinks));
    const auto take = [&](int64_t page) {
        const auto at = static_cast<size_t>(page);
        if (pages_.size() <= at) pages_.resize(at + 1);
        if (pages_[at]) return;
        pages_[at] = pool_->allocate();
        ++num_pages_;
    };
    if (layout_->num_sinks > 0 && sinks_held_) take(0);
    if (first_tile_ >= end) return;
    for (int64_t page = layout_->page_of(first_tile_); page <= layout_->page_of(end - 1); ++page)
        take(page);
}

void HeadCache::forget(int64_t first_query) {
    sinks_held_ = sinks_held_ && layout_->sees_sinks(first_query);
    first_tile_ = std::max(first_tile_, layout_->first_visible_tile(first_query));
    const int64_t end = tiles_for(std::max<int64_t>(0, num_tokens_ - layout_->num_sinks));
    const int64_t kept_page = layout_->page_of(first_tile_);
    const int64_t first_kept = first_tile_ < end ? kept_page : std::ssize(pages_);
    const auto drop = [&](int64_t page) {
        PageRef& ref = pages_[static_cast<size_t>(page)];
        if (ref) --num_pages_;
        ref = PageRef();
    };
    if (first_kept > 0 && !sinks_held_ && !pages_.empty()) drop(0);
    for (int64_t page = first_page_; page < std::min<int64_t>(first_kept, std::ssize(pages_));
         ++page)
        drop(page);
    first_page_ = std::max(first_page_, kept_page);
}

HeadCache::TilePlace HeadCache::place(int64_t tile) const {
    const int64_t page = layout_->page_of(tile);
    const int64_t page_tiles = page == 0 ? layout_->first_page_tiles : layout_->page_tiles;
    const int64_t in_page =
        page == 0 ? tile : (tile - layout_->first_page_tiles) % layout_->page_tiles;
    LOWKEY_CHECK(page < std::ssize(pages_) && pages_[static_cast<size_t>(page)]);
    std::byte* keys =
        pages_[static_cast<size_t>(page)].data() + (page == 0 ? layout_->sink_bytes() : 0);
    return {keys, keys + page_tiles * layout_->body.key->tile_bytes(), in_page, page_tiles};
}

void HeadCache::append(const float* keys_before, const float* keys_after, int64_t key_stride,
                       const float* values, int64_t value_stride, int64_t num_tokens) {
    int64_t done = 0;
    while (done < num_tokens) {
        const int64_t token = num_tokens_;
        const bool sink = token < layout_->num_sinks;
        // Whole tiles are passed over, so that the first that is written is written from its start.
        const int64_t first_kept = sink ? (sinks_held_ ? 0 : layout_->num_sinks)
                                        : layout_->num_sinks + first_tile_ * kTileTokens;
        if (token < first_kept) {
            const int64_t passed = std::min(first_kept - token, num_tokens - done);
            num_tokens_ += passed;
            done += passed;
            continue;
        }
        const SegmentLayout& segment = sink ? layout_->sinks : layout_->body;
        std::byte* to_keys = nullptr;
        std::byte* to_values = nullptr;
        int64_t slot = token;
        int64_t room = layout_->num_sinks - token;
        if (sink) {
            LOWKEY_CHECK(!pages_.empty() && pages_[0]);
            to_keys = pages_[0].data();
            to_values = to_keys + layout_->sink_tiles * segment.key->tile_bytes();
        } else {
            const int64_t index = token - layout_->num_sinks;
            const TilePlace at = place(index / kTileTokens);
            to_keys = at.keys;
            to_values = at.values;
            slot = at.tile * kTileTokens + index % kTileTokens;
            room = at.page_tiles * kTileTokens - slot;
        }
        const int64_t count = std::min(room, num_tokens - done);
        const float* keys = segment.key->before_rotation() ? keys_before : keys_after;
        segment.key->encode(keys + done * key_stride, key_stride, count, to_keys, slot);
        segment.value->encode(values + done * value_stride, value_stride, count, to_values, slot);
        num_tokens_ += count;
        done += count;
    }
}

void HeadCache::segment_pages(int64_t segment, std::vector<PageView>& pages) const {
    pages.clear();
    if (segment == 0 && layout_->num_sinks > 0) {
        const int64_t count = std::min(num_tokens_, layout_->num_sinks);
        if (count == 0 || !sinks_held_) return;
        const std::byte* keys = pages_[0].data();
        pages.push_back({keys, keys + layout_->sink_tiles * layout_->sinks.key->tile_bytes(), count,
                         first_position_});
        return;
    }
    const int64_t body_tokens = num_tokens_ - layout_->num_sinks;
    for (int64_t begin = first_tile_ * kTileTokens; begin < body_tokens;) {
        const TilePlace at = place(begin / kTileTokens);
        const int64_t room = (at.page_tiles - at.tile) * kTileTokens;
        const int64_t count = std::min(body_tokens - begin, room);
        pages.push_back({at.keys + at.tile * layout_->body.key->tile_bytes(),
                         at.values + at.tile * layout_->body.value->tile_bytes(), count,
                         first_position_ + layout_->num_sinks + begin});
        begin += count;
    }
}

void HeadCache::read(int64_t position, float* key, float* value) const {
    const int64_t token = position - first_position_;
    LOWKEY_CHECK(token >= 0 && token < num_tokens_);
    if (token < layout_->num_sinks) {
        LOWKEY_CHECK(sinks_held_);
        const std::byte* keys = pages_[0].data();
        layout_->sinks.key->decode(keys, token, key);
        layout_->sinks.value->decode(keys + layout_->sink_tiles * layout_->sinks.key->tile_bytes(),
                                     token, value);
        return;
    }
    const int64_t index = token - layout_->num_sinks;
    LOWKEY_CHECK(index / kTileTokens >= first_tile_);
    const TilePlace at = place(index / kTileTokens);
    const int64_t slot = at.tile * kTileTokens + index % kTileTokens;
    layout_->body.key->decode(at.keys, slot, key);
    layout_->body.value->decode(at.values, slot, value);
}

SequenceCache::SequenceCache(std::shared_ptr<const CacheLayout> layout, PagePool& pool,
                             int64_t first_position)
    : layout_(std::move(layout)), pool_(&pool) {
    for (int64_t layer = 0; layer < layout_->num_layers(); ++layer) {
        for (int64_t head = 0; head < layout_->num_kv_heads(); ++head) {
            heads_.emplace_back(layout_->head(layer, head), pool, first_position);
        }
    }
}

int64_t SequenceCache::bytes_to_grow(int64_t num_tokens, int64_t step) const {
    int64_t held = 0;
    for (const HeadCache& head : heads_) held += head.num_pages();
    const int64_t peak = layout_->peak_bytes(num_tokens_ + num_tokens, step);
    return std::max<int64_t>(0, peak - held * kPageBytes);
}

}  // namespace lowkey
