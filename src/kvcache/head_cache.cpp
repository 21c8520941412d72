#include "kvcache/head_cache.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"

namespace lowkey {
namespace {

/// Slots from the first of `keys` and `values` on.
PageView page_view(const SegmentLayout& segment, const std::byte* keys, const std::byte* values,
                   int64_t num_tokens) {
    const int64_t tiles = tiles_for(num_tokens);
    return {.keys = keys,
            .values = values,
            .key_bytes = tiles * segment.key->tile_bytes(),
            .value_bytes = tiles * segment.value->tile_bytes(),
            .num_tokens = num_tokens};
}

}  // namespace

TokenRows TokenRows::slice(int64_t first, int64_t count) const {
    TokenRows rows = *this;
    rows.keys_before += first * key_stride;
    rows.keys_after += first * key_stride;
    rows.values += first * value_stride;
    rows.num_tokens = count;
    return rows;
}

HeadCache::HeadCache(const HeadLayout& layout, PagePool& pool, int64_t first_position)
    : layout_(&layout), pool_(&pool), first_position_(first_position), joined_(layout.num_sinks) {}

int64_t HeadCache::body_slots() const {
    if (layout_->selects()) return std::ssize(slot_positions_);
    return std::max<int64_t>(0, num_tokens_ - layout_->num_sinks);
}

// ---- pages

void HeadCache::take_page(int64_t page, bool to_write) {
    const auto at = static_cast<size_t>(page);
    if (pages_.size() <= at) pages_.resize(at + 1);
    PageRef& ref = pages_[at];
    if (!ref) {
        ref = pool_->allocate();
        ++num_pages_;
    } else if (to_write && ref.shared()) {
        PageRef own = pool_->allocate();
        std::memcpy(own.data(), ref.data(), static_cast<size_t>(kPageBytes));
        ref = std::move(own);
    }
}

void HeadCache::drop_page(int64_t page) {
    PageRef& ref = pages_[static_cast<size_t>(page)];
    if (ref) --num_pages_;
    ref = PageRef();
}

int64_t HeadCache::peak_pages(int64_t num_tokens, int64_t step, int64_t prompt_tokens) const {
    const int64_t peak = layout_->peak_pages(num_tokens, step, prompt_tokens);
    if (!layout_->selects()) return peak;
    // What has been generated since the last prompt stays until the next one is in.
    return std::max(peak, layout_->slot_pages(body_slots() + step));
}

int64_t HeadCache::shared_pages_to_replace() const {
    const bool any_page = layout_->selects() || layout_->window(prompt_tokens_) > 0;
    const int64_t last = body_slots() == 0 ? 0 : layout_->page_of((body_slots() - 1) / kTileTokens);
    int64_t count = 0;
    for (int64_t page = 0; page < std::ssize(pages_); ++page) {
        const PageRef& ref = pages_[static_cast<size_t>(page)];
        if (!ref || !ref.shared()) continue;
        count += any_page || page == 0 || page == last ? 1 : 0;
    }
    return count;
}

void HeadCache::reserve(int64_t num_tokens, int64_t entering) {
    int64_t total = num_tokens_ + num_tokens;
    if (total == 0) return;
    // A body that forgets nothing takes the pages of its whole prompt at once, with its first
    // tokens: as neighbours they are read faster than between those of other heads.
    if (num_tokens > 0 && !layout_->selects() && layout_->window(prompt_tokens_) == 0)
        total = std::max(total, prompt_tokens_);
    if (first_page_needed_ && (layout_->num_sinks > 0 || layout_->compensates()))
        take_page(0, layout_->compensates() || num_tokens_ < layout_->num_sinks);
    if (layout_->selects()) {
        // Leaving tokens are replaced by others: any page may be written.
        const int64_t slots =
            std::min(body_slots() + entering, std::max<int64_t>(0, total - layout_->num_sinks));
        if (slots == 0) return;
        const int64_t last = layout_->page_of(tiles_for(slots) - 1);
        for (int64_t page = layout_->page_of(0); page <= last; ++page) take_page(page, true);
        return;
    }
    const int64_t end = tiles_for(std::max<int64_t>(0, total - layout_->num_sinks));
    if (first_tile_ >= end) return;
    const int64_t first_written = layout_->page_of(body_slots() / kTileTokens);
    for (int64_t page = layout_->page_of(first_tile_); page <= layout_->page_of(end - 1); ++page)
        take_page(page, page >= first_written);
}

void HeadCache::forget(int64_t first_query) {
    if (const int64_t window = layout_->window(prompt_tokens_); window > 0 && !layout_->selects()) {
        const int64_t last_query = layout_->compensates() ? first_query - 1 : first_query;
        horizon_ = std::max(horizon_, last_query - window + 1);
    }
    if (layout_->compensates()) join_until(std::min(num_tokens_, horizon_));
    first_page_needed_ = first_page_needed_ && layout_->needs_first_page(first_query);
    if (layout_->selects()) return;
    first_tile_ = std::max(first_tile_, layout_->first_visible_tile(first_query, prompt_tokens_));
    const int64_t end = tiles_for(body_slots());
    const int64_t kept_page = layout_->page_of(first_tile_);
    const int64_t first_kept = first_tile_ < end ? kept_page : std::ssize(pages_);
    if (first_kept > 0 && !first_page_needed_ && !pages_.empty()) drop_page(0);
    for (int64_t page = first_page_; page < std::min<int64_t>(first_kept, std::ssize(pages_));
         ++page)
        drop_page(page);
    first_page_ = std::max(first_page_, kept_page);
}

HeadCache::TilePlace HeadCache::place(int64_t tile) const {
    const int64_t page = layout_->page_of(tile);
    const int64_t page_tiles = page == 0 ? layout_->first_page_tiles : layout_->page_tiles;
    const int64_t in_page =
        page == 0 ? tile : (tile - layout_->first_page_tiles) % layout_->page_tiles;
    LOWKEY_CHECK(page < std::ssize(pages_) && pages_[static_cast<size_t>(page)]);
    std::byte* keys =
        pages_[static_cast<size_t>(page)].data() + (page == 0 ? layout_->body_offset() : 0);
    return {keys, keys + page_tiles * layout_->body.key->tile_bytes(), in_page, page_tiles};
}

// ---- writing

void HeadCache::append(const TokenRows& rows) {
    if (layout_->selects()) {
        const int64_t sinks =
            std::clamp<int64_t>(layout_->num_sinks - num_tokens_, 0, rows.num_tokens);
        std::vector<int64_t> all(static_cast<size_t>(rows.num_tokens - sinks));
        std::iota(all.begin(), all.end(), sinks);
        append_selected(rows, all, std::vector<double>(all.size(), 0.0));
        return;
    }
    write_sinks(rows);
    int64_t done = std::clamp<int64_t>(layout_->num_sinks - num_tokens_, 0, rows.num_tokens);
    // Whole tiles are passed over, so that the first that is written is written from its start.
    const int64_t first_kept = layout_->num_sinks + first_tile_ * kTileTokens;
    const int64_t passed =
        std::clamp<int64_t>(first_kept - num_tokens_ - done, 0, rows.num_tokens - done);
    if (layout_->compensates() && passed > 0) {
        const int64_t before = num_tokens_;
        num_tokens_ += done;
        pass_over(rows.slice(done, passed));
        num_tokens_ = before;
    }
    done += passed;
    write_body(rows.slice(done, rows.num_tokens - done), num_tokens_ + done - layout_->num_sinks);
    num_tokens_ += rows.num_tokens;
    if (layout_->compensates()) join_until(std::min(num_tokens_, horizon_));
}

void HeadCache::append_selected(const TokenRows& rows, std::span<const int64_t> entering,
                                std::span<const double> attention) {
    write_sinks(rows);
    for (size_t i = 0; i < entering.size(); ++i) {
        write_body(rows.slice(entering[i], 1), body_slots());
        slot_positions_.push_back(
            static_cast<int32_t>(first_position_ + num_tokens_ + entering[i]));
        slot_attention_.push_back(attention[i]);
    }
    num_tokens_ += rows.num_tokens;
}

void HeadCache::write_sinks(const TokenRows& rows) {
    const int64_t count = std::min(rows.num_tokens, layout_->num_sinks - num_tokens_);
    if (count <= 0 || !first_page_needed_) return;
    LOWKEY_CHECK(!pages_.empty() && pages_[0]);
    const SegmentLayout& segment = layout_->sinks;
    std::byte* keys = pages_[0].data();
    std::byte* values = keys + layout_->sink_tiles * segment.key->tile_bytes();
    segment.key->encode(segment.key->before_rotation() ? rows.keys_before : rows.keys_after,
                        rows.key_stride, count, keys, num_tokens_);
    segment.value->encode(rows.values, rows.value_stride, count, values, num_tokens_);
}

void HeadCache::write_body(const TokenRows& rows, int64_t first_slot) {
    const SegmentLayout& segment = layout_->body;
    const float* keys = segment.key->before_rotation() ? rows.keys_before : rows.keys_after;
    for (int64_t done = 0; done < rows.num_tokens;) {
        const int64_t index = first_slot + done;
        const TilePlace at = place(index / kTileTokens);
        const int64_t slot = at.tile * kTileTokens + index % kTileTokens;
        const int64_t room = at.page_tiles * kTileTokens - slot;
        const int64_t count = std::min(room, rows.num_tokens - done);
        segment.key->encode(keys + done * rows.key_stride, rows.key_stride, count, at.keys, slot);
        segment.value->encode(rows.values + done * rows.value_stride, rows.value_stride, count,
                              at.values, slot);
        done += count;
    }
}

// ---- compensation

float* HeadCache::mean() const {
    return reinterpret_cast<float*>(pages_[0].data() + layout_->sink_bytes());
}

void HeadCache::join(int64_t token, float* key, const float* value) {
    const CacheShape::Head& dims = layout_->dims;
    const int64_t position = first_position_ + token;
    if (layout_->body.key->before_rotation()) dims.rotary->rotate(key, position);
    const int64_t count = token + 1 - layout_->num_sinks;
    const auto share = 1 / static_cast<float>(count);
    float* to = mean();
    const auto move = [&](float* old, const float* x, int64_t n) {
        for (int64_t i = 0; i < n; ++i)
            old[i] = count == 1 ? x[i] : old[i] + (x[i] - old[i]) * share;
    };
    move(to, key, dims.key_dim);
    move(to + dims.key_dim, value, dims.value_dim);
    mean_position_ += (static_cast<double>(position) - mean_position_) / static_cast<double>(count);
    joined_ = token + 1;
}

void HeadCache::join_until(int64_t token) {
    if (joined_ >= token) return;
    std::vector<float> key(static_cast<size_t>(layout_->dims.key_dim));
    std::vector<float> value(static_cast<size_t>(layout_->dims.value_dim));
    while (joined_ < token) {
        read(first_position_ + joined_, key.data(), value.data());
        join(joined_, key.data(), value.data());
    }
}

void HeadCache::pass_over(const TokenRows& rows) {
    const SegmentLayout& body = layout_->body;
    std::vector<std::byte> keys(static_cast<size_t>(body.key->tile_bytes()));
    std::vector<std::byte> values(static_cast<size_t>(body.value->tile_bytes()));
    std::vector<float> key(static_cast<size_t>(layout_->dims.key_dim));
    std::vector<float> value(static_cast<size_t>(layout_->dims.value_dim));
    for (int64_t t = 0; t < rows.num_tokens; t += kTileTokens) {
        const int64_t count = std::min<int64_t>(kTileTokens, rows.num_tokens - t);
        const TokenRows tile = rows.slice(t, count);
        body.key->encode(body.key->before_rotation() ? tile.keys_before : tile.keys_after,
                         tile.key_stride, count, keys.data(), 0);
        body.value->encode(tile.values, tile.value_stride, count, values.data(), 0);
        for (int64_t i = 0; i < count; ++i) {
            body.key->decode(keys.data(), i, key.data());
            body.value->decode(values.data(), i, value.data());
            join(num_tokens_ + t + i, key.data(), value.data());
        }
    }
}

void HeadCache::settle(int64_t first_query, int64_t num_queries) {
    if (!layout_->compensates()) return;
    const int64_t window = layout_->window(prompt_tokens_);
    const int64_t width = layout_->dims.key_dim + layout_->dims.value_dim;
    first_settled_ = first_query;
    settled_.clear();
    settled_means_.clear();
    for (int64_t query = first_query; query < first_query + num_queries; ++query) {
        join_until(std::min(num_tokens_, query - window + 1));
        const int64_t count = joined_ - layout_->num_sinks;
        if (settled_.empty() || settled_.back().num_tokens != count) {
            const auto row = std::ssize(settled_means_);
            if (count > 0) settled_means_.insert(settled_means_.end(), mean(), mean() + width);
            settled_.push_back({count, mean_position_, row});
        } else {
            settled_.push_back(settled_.back());
        }
    }
}

CompensationToken HeadCache::compensation(int64_t query) const {
    if (!layout_->compensates()) return {};
    const auto at = static_cast<size_t>(query - first_settled_);
    LOWKEY_CHECK(at < settled_.size());
    const Settled& seen = settled_[at];
    if (seen.num_tokens == 0) return {};
    const float* key = settled_means_.data() + seen.row;
    return {seen.num_tokens, seen.position, key, key + layout_->dims.key_dim};
}

CompensationToken HeadCache::compensation() const {
    const int64_t count = joined_ - layout_->num_sinks;
    if (!layout_->compensates() || count == 0) return {};
    return {count, mean_position_, mean(), mean() + layout_->dims.key_dim};
}

// ---- selection

void HeadCache::move_slot(int64_t from, int64_t to) {
    const TilePlace source = place(from / kTileTokens);
    const TilePlace target = place(to / kTileTokens);
    const int64_t source_slot = source.tile * kTileTokens + from % kTileTokens;
    const int64_t target_slot = target.tile * kTileTokens + to % kTileTokens;
    layout_->body.key->copy(source.keys, source_slot, target.keys, target_slot);
    layout_->body.value->copy(source.values, source_slot, target.values, target_slot);
    slot_positions_[static_cast<size_t>(to)] = slot_positions_[static_cast<size_t>(from)];
    slot_attention_[static_cast<size_t>(to)] = slot_attention_[static_cast<size_t>(from)];
}

std::vector<int64_t> HeadCache::select(std::span<const double> cached,
                                       std::span<const double> arriving, bool prompt) {
    const size_t slots = slot_positions_.size();
    const size_t sinks = static_cast<size_t>(num_held()) - slots;
    LOWKEY_CHECK(cached.size() == sinks + slots);
    // Candidates in the order of positions: the slots, then what arrives beyond the sinks.
    std::vector<size_t> order(slots);
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return slot_positions_[a] < slot_positions_[b]; });
    std::vector<Candidate> candidates;
    candidates.reserve(slots + arriving.size());
    for (size_t i = 0; i < slots; ++i) slot_attention_[i] += cached[sinks + i];
    for (const size_t slot : order) {
        candidates.push_back({slot_positions_[slot], cached[sinks + slot], slot_attention_[slot]});
    }
    const auto first =
        std::clamp<int64_t>(layout_->num_sinks - num_tokens_, 0, std::ssize(arriving));
    for (int64_t i = first; i < std::ssize(arriving); ++i) {
        const double got = arriving[static_cast<size_t>(i)];
        candidates.push_back({first_position_ + num_tokens_ + i, got, got});
    }

    std::vector<bool> leaves(candidates.size());
    for (const size_t i : layout_->policy->leaving(candidates, prompt, prompt_tokens_))
        leaves[i] = true;
    std::vector<int64_t> entering;
    for (size_t i = slots; i < candidates.size(); ++i) {
        if (!leaves[i]) entering.push_back(first + static_cast<int64_t>(i - slots));
    }
    // The last kept slots fill the holes, so that slots stay dense.
    std::vector<bool> slot_leaves(slots);
    for (size_t i = 0; i < slots; ++i) slot_leaves[order[i]] = leaves[i];
    size_t end = slots;
    for (size_t slot = 0; slot < end; ++slot) {
        if (!slot_leaves[slot]) continue;
        while (end > slot + 1 && slot_leaves[end - 1]) --end;
        --end;
        if (end > slot) move_slot(static_cast<int64_t>(end), static_cast<int64_t>(slot));
    }
    slot_positions_.resize(end);
    slot_attention_.resize(end);
    const int64_t used =
        end == 0 ? 0 : layout_->page_of(static_cast<int64_t>(end - 1) / kTileTokens);
    for (int64_t page = used + 1; page < std::ssize(pages_); ++page) drop_page(page);
    return entering;
}

// ---- reading

int64_t HeadCache::query_shift(int64_t i, int64_t position) const {
    if (!is_sinks(i) || !layout_->policy->reindexes()) return 0;
    const int64_t nearest =
        first_position_ + layout_->num_sinks + layout_->window(prompt_tokens_) - 1;
    return std::max<int64_t>(0, position - nearest);
}

void HeadCache::segment_pages(int64_t segment, std::vector<PageView>& pages) const {
    pages.clear();
    if (is_sinks(segment)) {
        const int64_t count = std::min(num_tokens_, layout_->num_sinks);
        if (count == 0 || !first_page_needed_) return;
        const std::byte* keys = pages_[0].data();
        pages.push_back(page_view(layout_->sinks, keys,
                                  keys + layout_->sink_tiles * layout_->sinks.key->tile_bytes(),
                                  count));
        pages.back().first_position = first_position_;
        return;
    }
    const int64_t slots = body_slots();
    for (int64_t begin = first_tile_ * kTileTokens; begin < slots;) {
        const TilePlace at = place(begin / kTileTokens);
        const int64_t room = (at.page_tiles - at.tile) * kTileTokens;
        const int64_t count = std::min(slots - begin, room);
        pages.push_back(page_view(layout_->body,
                                  at.keys + at.tile * layout_->body.key->tile_bytes(),
                                  at.values + at.tile * layout_->body.value->tile_bytes(), count));
        pages.back().first_position = first_position_ + layout_->num_sinks + begin;
        if (layout_->selects()) pages.back().positions = slot_positions_.data() + begin;
        begin += count;
    }
}

int64_t HeadCache::num_held() const {
    const int64_t sinks = first_page_needed_ ? std::min(num_tokens_, layout_->num_sinks) : 0;
    return sinks + body_slots() - std::min(body_slots(), first_tile_ * kTileTokens);
}

std::vector<int64_t> HeadCache::positions() const {
    std::vector<int64_t> all;
    const int64_t sinks = first_page_needed_ ? std::min(num_tokens_, layout_->num_sinks) : 0;
    for (int64_t t = 0; t < sinks; ++t) all.push_back(first_position_ + t);
    if (layout_->selects()) {
        all.insert(all.end(), slot_positions_.begin(), slot_positions_.end());
        std::sort(all.begin(), all.end());
        return all;
    }
    const int64_t first = std::max(layout_->compensates() ? joined_ : 0,
                                   layout_->num_sinks + first_tile_ * kTileTokens);
    for (int64_t t = first; t < num_tokens_; ++t) all.push_back(first_position_ + t);
    return all;
}

void HeadCache::read(int64_t position, float* key, float* value) const {
    const int64_t token = position - first_position_;
    LOWKEY_CHECK(token >= 0 && token < num_tokens_);
    if (token < layout_->num_sinks) {
        LOWKEY_CHECK(first_page_needed_);
        const std::byte* keys = pages_[0].data();
        layout_->sinks.key->decode(keys, token, key);
        layout_->sinks.value->decode(keys + layout_->sink_tiles * layout_->sinks.key->tile_bytes(),
                                     token, value);
        return;
    }
    int64_t index = token - layout_->num_sinks;
    if (layout_->selects()) {
        const auto found = std::find(slot_positions_.begin(), slot_positions_.end(), position);
        LOWKEY_CHECK(found != slot_positions_.end());
        index = found - slot_positions_.begin();
    }
    LOWKEY_CHECK(index / kTileTokens >= first_tile_);
    const TilePlace at = place(index / kTileTokens);
    const int64_t slot = at.tile * kTileTokens + index % kTileTokens;
    layout_->body.key->decode(at.keys, slot, key);
    layout_->body.value->decode(at.values, slot, value);
}

}  // namespace lowkey
