#include "kvcache/sequence_cache.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"

namespace lowkey {

HeadCache::HeadCache(const HeadLayout& layout, PagePool& pool, int64_t first_position)
    : layout_(&layout), pool_(&pool), first_position_(first_position) {}

void HeadCache::reserve(int64_t num_tokens) {
    const auto needed = static_cast<size_t>(layout_->pages_for(num_tokens_ + num_tokens));
    while (pages_.size() < needed) pages_.push_back(pool_->allocate());
}

HeadCache::TilePlace HeadCache::place(int64_t tile) const {
    const bool first = tile < layout_->first_page_tiles;
    const int64_t beyond = tile - layout_->first_page_tiles;
    const int64_t page = first ? 0 : 1 + beyond / layout_->page_tiles;
    const int64_t page_tiles = first ? layout_->first_page_tiles : layout_->page_tiles;
    std::byte* keys =
        pages_[static_cast<size_t>(page)].data() + (page == 0 ? layout_->sink_bytes() : 0);
    return {keys, keys + page_tiles * layout_->body.key->tile_bytes(),
            first ? tile : beyond % page_tiles, page_tiles};
}

void HeadCache::append(const float* keys_before, const float* keys_after, int64_t key_stride,
                       const float* values, int64_t value_stride, int64_t num_tokens) {
    LOWKEY_CHECK(static_cast<int64_t>(pages_.size()) >=
                 layout_->pages_for(num_tokens_ + num_tokens));
    int64_t done = 0;
    while (done < num_tokens) {
        const int64_t token = num_tokens_;
        const bool sink = token < layout_->num_sinks;
        const SegmentLayout& segment = sink ? layout_->sinks : layout_->body;
        std::byte* to_keys = nullptr;
        std::byte* to_values = nullptr;
        int64_t slot = token;
        int64_t room = layout_->num_sinks - token;
        if (sink) {
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
        if (count == 0) return;
        const std::byte* keys = pages_[0].data();
        pages.push_back({keys, keys + layout_->sink_tiles * layout_->sinks.key->tile_bytes(), count,
                         first_position_});
        return;
    }
    const int64_t body_tokens = num_tokens_ - layout_->num_sinks;
    for (int64_t begin = 0; begin < body_tokens;) {
        const TilePlace at = place(begin / kTileTokens);
        const int64_t count = std::min(body_tokens - begin, at.page_tiles * kTileTokens);
        pages.push_back({at.keys, at.values, count, first_position_ + layout_->num_sinks + begin});
        begin += count;
    }
}

void HeadCache::read(int64_t position, float* key, float* value) const {
    const int64_t token = position - first_position_;
    LOWKEY_CHECK(token >= 0 && token < num_tokens_);
    if (token < layout_->num_sinks) {
        const std::byte* keys = pages_[0].data();
        layout_->sinks.key->decode(keys, token, key);
        layout_->sinks.value->decode(keys + layout_->sink_tiles * layout_->sinks.key->tile_bytes(),
                                     token, value);
        return;
    }
    const int64_t index = token - layout_->num_sinks;
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

}  // namespace lowkey
