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

HeadCache::HeadCache(const HeadLayout& layout, PagePool& pool, PagePromise& promise,
                     int64_t first_position)
    : layout_(&layout),
      first_position_(first_position),
      pages_(pool, promise),
      recent_(pool, promise) {
    state_.joined = layout.num_sinks;
}

HeadCache::HeadCache(const HeadCache& other, PagePromise& promise)
    : layout_(other.layout_),
      first_position_(other.first_position_),
      state_(other.state_),
      pages_(other.pages_, promise),
      recent_(other.recent_, promise),
      slots_(other.slots_) {}

int64_t HeadCache::body_slots() const {
    if (layout_->selects()) return slots_.size();
    return layout_->num_recent > 0 ? state_.coded * kTileTokens : tokens_after_sinks();
}

// ---- steps

void HeadCache::begin_step(bool selects_late) {
    LOWKEY_CHECK(!in_step());
    const bool keeps_old = layout_->selects() && !selects_late;
    slots_.begin_step(keeps_old);
    saved_mean_.clear();
    if (state_.joined > layout_->num_sinks) {
        const int64_t width = layout_->dims.key_dim + layout_->dims.value_dim;
        saved_mean_.assign(mean(), mean() + width);
    }
    saved_ = state_;
    selects_late_ = selects_late;
    late_.reset();
    pages_.begin_step(keeps_old);
    recent_.begin_step(false);
}

void HeadCache::prepare_commit() {
    if (!late_) return;
    late_->choice = slots_.choose(*layout_->policy, of_slots(received_), {}, 0, late_->prompt,
                                  state_.prompt_tokens);
}

void HeadCache::commit() noexcept {
    if (!in_step()) return;
    pages_.commit();
    recent_.commit();
    if (!late_) return;
    LOWKEY_CHECK(late_->choice.has_value());
    apply(*late_->choice, of_slots(received_));
    late_.reset();
}

void HeadCache::rollback() noexcept {
    if (!in_step()) return;
    late_.reset();
    pages_.rollback();
    recent_.rollback();
    slots_.rollback();
    state_ = saved_;
    // A page that others share was replaced before the mean in it changed.
    if (!saved_mean_.empty() && !pages_.shared(0))
        std::copy(saved_mean_.begin(), saved_mean_.end(), mean());
}

bool HeadCache::can_truncate(int64_t num_tokens) const {
    if (num_tokens >= state_.num_tokens) return num_tokens == state_.num_tokens;
    if (layout_->selects() || state_.joined > layout_->num_sinks) return false;
    // What is coded has no exact numbers any more.
    if (layout_->num_recent > 0 && layout_->coded_tiles(num_tokens - 1) < state_.first_recent)
        return false;
    return state_.first_tile <= layout_->first_visible_tile(num_tokens, state_.prompt_tokens) &&
           (state_.first_page_needed || !layout_->needs_first_page(num_tokens));
}

void HeadCache::truncate(int64_t num_tokens) noexcept {
    if (num_tokens == state_.num_tokens) return;
    LOWKEY_CHECK(!in_step() && can_truncate(num_tokens));
    state_.num_tokens = num_tokens;
    const int64_t window = layout_->window(state_.prompt_tokens);
    if (window > 0)
        state_.horizon = std::min(state_.horizon, std::max<int64_t>(0, num_tokens - window + 1));
    state_.prompt_tokens = std::min(state_.prompt_tokens, num_tokens);
    if (layout_->num_recent > 0) {
        state_.coded = std::min(state_.coded, layout_->coded_tiles(num_tokens - 1));
        state_.next_query = std::min(state_.next_query, num_tokens);
        const int64_t end = tiles_for(tokens_after_sinks());
        recent_.truncate((end + layout_->recent_page_tiles - 1) / layout_->recent_page_tiles);
    }
    const bool first = num_tokens > 0 && (layout_->num_sinks > 0 || layout_->compensates());
    const int64_t tiles = tiles_for(body_slots());
    pages_.truncate(tiles > 0 ? layout_->page_of(tiles - 1) + 1 : (first ? 1 : 0));
}

// ---- pages

int64_t HeadCache::peak_pages(int64_t num_tokens, int64_t step, int64_t prompt_tokens) const {
    const int64_t peak = layout_->peak_pages(num_tokens, step, prompt_tokens);
    if (!layout_->selects()) return peak;
    // What has been generated since the last prompt stays until the next one is in.
    const int64_t body_tokens = std::max<int64_t>(0, num_tokens - layout_->num_sinks);
    return std::max(peak, layout_->slot_pages(std::min(body_slots() + step, body_tokens)));
}

int64_t HeadCache::pages_of_next_token() const {
    int64_t first = 0;  // the first page may be named twice
    int64_t others = 0;
    for_pages(1, 1, [&](int64_t page, bool to_write) {
        const int64_t taken = pages_.would_take(page, to_write);
        if (page == 0) {
            first = std::max(first, taken);
        } else {
            others += taken;
        }
    });
    for_recent_pages(1, [&](int64_t page) { others += recent_.would_take(page, true); });
    return first + others;
}

int64_t HeadCache::shared_pages_to_replace() const {
    int64_t count = 0;
    for (int64_t page = 0; recent_.may_share() && page < recent_.size(); ++page)
        count += recent_.shared(page) ? 1 : 0;
    if (!pages_.may_share()) return count;
    const bool any_page = layout_->selects() || layout_->window(state_.prompt_tokens) > 0;
    const int64_t last = body_slots() == 0 ? 0 : layout_->page_of((body_slots() - 1) / kTileTokens);
    for (int64_t page = 0; page < pages_.size(); ++page) {
        if (!any_page && page != 0 && page != last) continue;
        count += pages_.shared(page) ? 1 : 0;
    }
    return count;
}

template <typename Fn>
void HeadCache::for_pages(int64_t num_tokens, int64_t entering, Fn fn) const {
    int64_t total = state_.num_tokens + num_tokens;
    if (total == 0) return;
    // A body that forgets nothing takes the pages of its whole prompt at once, with its first
    // tokens: as neighbours they are read faster than between those of other heads.
    if (num_tokens > 0 && !layout_->selects() && layout_->window(state_.prompt_tokens) == 0)
        total = std::max(total, state_.prompt_tokens);
    if (state_.first_page_needed && (layout_->num_sinks > 0 || layout_->compensates()))
        fn(0, layout_->compensates() || state_.num_tokens < layout_->num_sinks);
    if (layout_->selects()) {
        const int64_t slots =
            std::min(body_slots() + entering, std::max<int64_t>(0, total - layout_->num_sinks));
        if (slots == 0) return;
        // Leaving tokens are replaced by others: any page may be written, but those that are this
        // head's own already need no look.
        const int64_t last = layout_->page_of(tiles_for(slots) - 1);
        const bool look = pages_.may_share() || (in_step() && !selects_late_);
        const int64_t begin = layout_->page_of(0);
        for (int64_t page = look ? begin : std::max(begin, pages_.num_pages()); page <= last;
             ++page)
            fn(page, true);
        return;
    }
    const int64_t end = layout_->coded_tiles(total - 1);
    if (state_.first_tile >= end) return;
    // Pages before the first that is written are there.
    const int64_t first_written = layout_->page_of(body_slots() / kTileTokens);
    const int64_t first = std::max(layout_->page_of(state_.first_tile), first_written);
    for (int64_t page = first; page <= layout_->page_of(end - 1); ++page) fn(page, true);
}

HeadCache::TileRange HeadCache::coded_at_once(int64_t num_tokens) const {
    const int64_t total = state_.num_tokens + num_tokens;
    // Those that begin among the new tokens, and that no query to come sees dense.
    const int64_t begin = tiles_for(tokens_after_sinks());
    const int64_t end =
        std::min(layout_->coded_tiles(total - 1), layout_->coded_tiles(state_.next_query));
    return {begin, std::max(begin, end)};
}

template <typename Fn>
void HeadCache::for_recent_pages(int64_t num_tokens, Fn fn) const {
    const int64_t total = state_.num_tokens + num_tokens;
    if (layout_->num_recent == 0 || num_tokens == 0 || total <= layout_->num_sinks) return;
    const int64_t tiles = layout_->recent_page_tiles;
    const TileRange skipped = coded_at_once(num_tokens);
    int64_t last = -1;
    const auto take = [&](int64_t begin, int64_t end) {
        for (int64_t page = std::max(last + 1, begin / tiles); begin < end && page * tiles < end;
             ++page) {
            fn(page);
            last = page;
        }
    };
    take(tokens_after_sinks() / kTileTokens, skipped.begin);
    take(skipped.end, tiles_for(total - layout_->num_sinks));
}

void HeadCache::reserve(int64_t num_tokens, int64_t entering) {
    for_pages(num_tokens, entering,
              [&](int64_t page, bool to_write) { pages_.take(page, to_write); });
    for_recent_pages(num_tokens, [&](int64_t page) { recent_.take(page, true); });
    if (layout_->selects()) pages_.shares_none();
}

void HeadCache::forget(int64_t first_query) {
    if (const int64_t window = layout_->window(state_.prompt_tokens);
        window > 0 && !layout_->selects()) {
        const int64_t last_query = layout_->compensates() ? first_query - 1 : first_query;
        state_.horizon = std::max(state_.horizon, last_query - window + 1);
    }
    if (layout_->compensates())
        join_until(std::min(state_.num_tokens, state_.horizon), first_query - 1);
    state_.first_page_needed = state_.first_page_needed && layout_->needs_first_page(first_query);
    if (layout_->selects()) return;
    if (layout_->num_recent > 0) {
        state_.next_query = std::max(state_.next_query, first_query);
        forget_recent();
    }
    state_.first_tile =
        std::max(state_.first_tile, layout_->first_visible_tile(first_query, state_.prompt_tokens));
    const int64_t end = tiles_for(body_slots());
    const int64_t kept_page = layout_->page_of(state_.first_tile);
    const int64_t first_kept = state_.first_tile < end ? kept_page : pages_.size();
    if (first_kept > 0 && !state_.first_page_needed && pages_.size() > 0) pages_.drop(0);
    for (int64_t page = state_.first_page; page < std::min<int64_t>(first_kept, pages_.size());
         ++page)
        pages_.drop(page);
    state_.first_page = std::max(state_.first_page, kept_page);
}

HeadCache::TilePlace HeadCache::place(int64_t tile) const {
    const int64_t page = layout_->page_of(tile);
    const int64_t page_tiles = page == 0 ? layout_->first_page_tiles : layout_->page_tiles;
    const int64_t in_page =
        page == 0 ? tile : (tile - layout_->first_page_tiles) % layout_->page_tiles;
    LOWKEY_CHECK(pages_.has(page));
    std::byte* keys = pages_.data(page) + (page == 0 ? layout_->body_offset() : 0);
    return {keys, keys + page_tiles * layout_->body.key->tile_bytes(), in_page, page_tiles};
}

// ---- writing

void HeadCache::append(const TokenRows& rows) {
    if (layout_->selects()) {
        const int64_t sinks =
            std::clamp<int64_t>(layout_->num_sinks - state_.num_tokens, 0, rows.num_tokens);
        std::vector<int64_t> all(static_cast<size_t>(rows.num_tokens - sinks));
        std::iota(all.begin(), all.end(), sinks);
        append_selected(rows, all, std::vector<double>(all.size(), 0.0));
        return;
    }
    write_sinks(rows);
    int64_t done = std::clamp<int64_t>(layout_->num_sinks - state_.num_tokens, 0, rows.num_tokens);
    // Whole tiles are passed over, so that the first that is written is written from its start.
    const int64_t first_kept = layout_->num_sinks + state_.first_tile * kTileTokens;
    const int64_t passed =
        std::clamp<int64_t>(first_kept - state_.num_tokens - done, 0, rows.num_tokens - done);
    if (layout_->compensates() && passed > 0) {
        const int64_t before = state_.num_tokens;
        state_.num_tokens += done;
        pass_over(rows.slice(done, passed));
        state_.num_tokens = before;
    }
    done += passed;
    const int64_t first_index = state_.num_tokens + done - layout_->num_sinks;
    const TokenRows rest = rows.slice(done, rows.num_tokens - done);
    if (layout_->num_recent > 0) {
        append_recent(rest, first_index, coded_at_once(rows.num_tokens));
    } else {
        write_body(rest, first_index);
    }
    state_.num_tokens += rows.num_tokens;
    if (layout_->num_recent > 0) {
        code_until(layout_->coded_tiles(state_.num_tokens - 1));
        forget_recent();
    }
    if (layout_->compensates())
        join_until(std::min(state_.num_tokens, state_.horizon), state_.num_tokens - 1);
}

void HeadCache::append_selected(const TokenRows& rows, std::span<const int64_t> entering,
                                std::span<const double> attention) {
    write_sinks(rows);
    for (size_t i = 0; i < entering.size(); ++i) {
        write_body(rows.slice(entering[i], 1), body_slots());
        slots_.push(first_position_ + state_.num_tokens + entering[i], attention[i]);
    }
    state_.num_tokens += rows.num_tokens;
}

void HeadCache::write_sinks(const TokenRows& rows) {
    const int64_t count = std::min(rows.num_tokens, layout_->num_sinks - state_.num_tokens);
    if (count <= 0 || !state_.first_page_needed) return;
    LOWKEY_CHECK(pages_.has(0));
    const SegmentLayout& segment = layout_->sinks;
    std::byte* keys = pages_.data(0);
    std::byte* values = keys + layout_->sink_tiles * segment.key->tile_bytes();
    const SlotPositions at{.origin = first_position_, .first = first_position_ + state_.num_tokens};
    segment.key->encode(segment.key->before_rotation() ? rows.keys_before : rows.keys_after,
                        rows.key_stride, count, keys, state_.num_tokens, at);
    segment.value->encode(rows.values, rows.value_stride, count, values, state_.num_tokens);
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
        segment.key->encode(keys + done * rows.key_stride, rows.key_stride, count, at.keys, slot,
                            slot_positions(index));
        segment.value->encode(rows.values + done * rows.value_stride, rows.value_stride, count,
                              at.values, slot);
        done += count;
    }
}

// ---- recent tokens

HeadCache::TilePlace HeadCache::recent_place(int64_t tile) const {
    const int64_t tiles = layout_->recent_page_tiles;
    LOWKEY_CHECK(recent_.has(tile / tiles));
    std::byte* keys = recent_.data(tile / tiles);
    return {keys, keys + tiles * layout_->recent.key->tile_bytes(), tile % tiles, tiles};
}

void HeadCache::write_recent(const TokenRows& rows, int64_t first_index) {
    const SegmentLayout& segment = layout_->recent;
    for (int64_t done = 0; done < rows.num_tokens;) {
        const int64_t index = first_index + done;
        const TilePlace at = recent_place(index / kTileTokens);
        const int64_t slot = at.tile * kTileTokens + index % kTileTokens;
        const int64_t count = std::min(at.page_tiles * kTileTokens - slot, rows.num_tokens - done);
        segment.key->encode(rows.keys_after + done * rows.key_stride, rows.key_stride, count,
                            at.keys, slot, slot_positions(index));
        segment.value->encode(rows.values + done * rows.value_stride, rows.value_stride, count,
                              at.values, slot);
        done += count;
    }
}

void HeadCache::append_recent(const TokenRows& rows, int64_t first_index, TileRange once) {
    const int64_t begin =
        std::clamp<int64_t>(once.begin * kTileTokens - first_index, 0, rows.num_tokens);
    const int64_t end =
        std::clamp<int64_t>(once.end * kTileTokens - first_index, begin, rows.num_tokens);
    write_recent(rows.slice(0, begin), first_index);
    if (end > begin) {
        // Those before them are recent ones, and coded first: the body is written in order.
        code_until(once.begin);
        write_body(rows.slice(begin, end - begin), first_index + begin);
        state_.coded = once.end;
    }
    write_recent(rows.slice(end, rows.num_tokens - end), first_index + end);
}

void HeadCache::code_until(int64_t end) {
    const CacheShape::Head& dims = layout_->dims;
    std::vector<float> keys(static_cast<size_t>(kTileTokens * dims.key_dim));
    std::vector<float> values(static_cast<size_t>(kTileTokens * dims.value_dim));
    std::vector<float> before;
    for (; state_.coded < end; ++state_.coded) {
        const int64_t tile = state_.coded;
        if (tile < state_.first_tile) continue;  // no query to come sees it
        const TilePlace from = recent_place(tile);
        const int64_t index = tile * kTileTokens;
        for (int64_t t = 0; t < kTileTokens; ++t) {
            const int64_t slot = from.tile * kTileTokens + t;
            layout_->recent.key->decode(from.keys, slot, slot_positions(index + t),
                                        keys.data() + t * dims.key_dim);
            layout_->recent.value->decode(from.values, slot, values.data() + t * dims.value_dim);
        }
        const float* unrotated = keys.data();
        if (layout_->body.key->before_rotation() && dims.rotary != nullptr) {
            // Tables may scale what they rotate, and would twice.
            const auto factor = static_cast<float>(dims.rotary->config().attention_factor);
            before = keys;
            for (int64_t t = 0; t < kTileTokens; ++t)
                dims.rotary->rotate_back(before.data() + t * dims.key_dim,
                                         slot_positions(index + t).first);
            for (float& x : before) x /= factor * factor;
            unrotated = before.data();
        }
        write_body({.keys_before = unrotated,
                    .keys_after = keys.data(),
                    .key_stride = dims.key_dim,
                    .values = values.data(),
                    .value_stride = dims.value_dim,
                    .num_tokens = kTileTokens},
                   index);
    }
}

void HeadCache::forget_recent() {
    const int64_t end = std::min(state_.coded, layout_->coded_tiles(state_.next_query));
    if (end <= state_.first_recent) return;
    const int64_t tiles = layout_->recent_page_tiles;
    for (int64_t page = state_.first_recent / tiles; page < std::min(end / tiles, recent_.size());
         ++page) {
        if (recent_.has(page)) recent_.drop(page);
    }
    state_.first_recent = end;
}

// ---- compensation

float* HeadCache::mean() const {
    return reinterpret_cast<float*>(pages_.data(0) + layout_->sink_bytes());
}

void HeadCache::join(int64_t token, const float* key, const float* value) {
    const CacheShape::Head& dims = layout_->dims;
    const int64_t position = first_position_ + token;
    const int64_t count = token + 1 - layout_->num_sinks;
    const auto share = 1 / static_cast<float>(count);
    float* to = mean();
    const auto move = [&](float* old, const float* x, int64_t n) {
        for (int64_t i = 0; i < n; ++i)
            old[i] = count == 1 ? x[i] : old[i] + (x[i] - old[i]) * share;
    };
    move(to, key, dims.key_dim);
    move(to + dims.key_dim, value, dims.value_dim);
    state_.mean_position +=
        (static_cast<double>(position) - state_.mean_position) / static_cast<double>(count);
    state_.joined = token + 1;
}

void HeadCache::join_until(int64_t token, int64_t query) {
    if (state_.joined >= token) return;
    std::vector<float> key(static_cast<size_t>(layout_->dims.key_dim));
    std::vector<float> value(static_cast<size_t>(layout_->dims.value_dim));
    while (state_.joined < token) {
        read_for(query, first_position_ + state_.joined, key.data(), value.data());
        join(state_.joined, key.data(), value.data());
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
        const int64_t index = state_.num_tokens + t - layout_->num_sinks;
        body.key->encode(body.key->before_rotation() ? tile.keys_before : tile.keys_after,
                         tile.key_stride, count, keys.data(), 0, slot_positions(index));
        body.value->encode(tile.values, tile.value_stride, count, values.data(), 0);
        for (int64_t i = 0; i < count; ++i) {
            read_slot(body, layout_->dims.rotary.get(), keys.data(), values.data(), i,
                      slot_positions(index + i), key.data(), value.data());
            join(state_.num_tokens + t + i, key.data(), value.data());
        }
    }
}

void HeadCache::settle(int64_t first_query, int64_t num_queries) {
    if (!layout_->compensates()) return;
    const int64_t window = layout_->window(state_.prompt_tokens);
    const int64_t width = layout_->dims.key_dim + layout_->dims.value_dim;
    first_settled_ = first_query;
    settled_.clear();
    settled_means_.clear();
    for (int64_t query = first_query; query < first_query + num_queries; ++query) {
        join_until(std::min(state_.num_tokens, query - window + 1), query);
        const int64_t count = state_.joined - layout_->num_sinks;
        if (settled_.empty() || settled_.back().num_tokens != count) {
            const auto row = std::ssize(settled_means_);
            if (count > 0) settled_means_.insert(settled_means_.end(), mean(), mean() + width);
            settled_.push_back({count, state_.mean_position, row});
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
    const int64_t count = state_.joined - layout_->num_sinks;
    if (!layout_->compensates() || count == 0) return {};
    return {count, state_.mean_position, mean(), mean() + layout_->dims.key_dim};
}

// ---- selection

void HeadCache::apply(SlotTable::Choice& choice, std::span<const double> cached) {
    for (const SlotTable::Choice::Move& move : choice.moves) {
        const TilePlace source = place(move.from / kTileTokens);
        const TilePlace target = place(move.to / kTileTokens);
        const int64_t source_slot = source.tile * kTileTokens + move.from % kTileTokens;
        const int64_t target_slot = target.tile * kTileTokens + move.to % kTileTokens;
        layout_->body.key->copy(source.keys, source_slot, target.keys, target_slot);
        layout_->body.value->copy(source.values, source_slot, target.values, target_slot);
    }
    slots_.apply(choice, cached);
    const int64_t end = choice.size;
    const int64_t used = end == 0 ? 0 : layout_->page_of((end - 1) / kTileTokens);
    for (int64_t page = used + 1; page < pages_.size(); ++page) pages_.drop(page);
}

std::vector<int64_t> HeadCache::select(std::span<const double> cached,
                                       std::span<const double> arriving, bool prompt) {
    LOWKEY_CHECK(std::ssize(cached) == num_held());
    // What arrives beyond the sinks is to be chosen from.
    const auto first =
        std::clamp<int64_t>(layout_->num_sinks - state_.num_tokens, 0, std::ssize(arriving));
    SlotTable::Choice choice = slots_.choose(
        *layout_->policy, of_slots(cached), arriving.subspan(static_cast<size_t>(first)),
        first_position_ + state_.num_tokens + first, prompt, state_.prompt_tokens);
    apply(choice, of_slots(cached));
    for (int64_t& token : choice.entering) token += first;
    return std::move(choice.entering);
}

std::span<double> HeadCache::new_received() {
    received_.assign(static_cast<size_t>(num_held()), 0.0);
    return received_;
}

void HeadCache::select_received(bool prompt) {
    if (in_step() && selects_late_) {
        late_ = {prompt, std::nullopt};
    } else {
        select(received_, {}, prompt);
    }
}

// ---- reading

PositionRange HeadCache::seen(int64_t segment, int64_t position) const {
    const int64_t window =
        is_sinks(segment) ? layout_->dims.sliding_window : layout_->window(state_.prompt_tokens);
    PositionRange range{first_position_, position + 1};
    if (!is_sinks(segment)) range.begin += state_.horizon;
    if (window > 0) range.begin = std::max(range.begin, position + 1 - window);
    if (layout_->num_recent == 0 || is_sinks(segment)) return range;
    // What is not coded yet is seen as it is, also by queries that would see it coded.
    const int64_t tiles = std::min(state_.coded, layout_->coded_tiles(position - first_position_));
    const int64_t border = first_position_ + layout_->num_sinks + tiles * kTileTokens;
    if (is_recent(segment)) {
        range.begin = std::max(range.begin, border);
    } else {
        range.end = std::min(range.end, border);
    }
    return range;
}

int64_t HeadCache::query_shift(int64_t i, int64_t position) const {
    if (!is_sinks(i) || !layout_->policy->reindexes()) return 0;
    const int64_t nearest =
        first_position_ + layout_->num_sinks + layout_->window(state_.prompt_tokens) - 1;
    return std::max<int64_t>(0, position - nearest);
}

void HeadCache::segment_pages(int64_t segment, std::vector<PageView>& pages) const {
    pages.clear();
    if (is_sinks(segment)) {
        const int64_t count = std::min(state_.num_tokens, layout_->num_sinks);
        if (count == 0 || !state_.first_page_needed) return;
        const std::byte* keys = pages_.data(0);
        pages.push_back(page_view(layout_->sinks, keys,
                                  keys + layout_->sink_tiles * layout_->sinks.key->tile_bytes(),
                                  count));
        pages.back().first_position = first_position_;
        pages.back().origin = first_position_;
        return;
    }
    if (is_recent(segment)) {
        const int64_t end = tokens_after_sinks();
        for (int64_t begin = state_.first_recent * kTileTokens; begin < end;) {
            const TilePlace at = recent_place(begin / kTileTokens);
            const int64_t count = std::min(end - begin, (at.page_tiles - at.tile) * kTileTokens);
            pages.push_back(
                page_view(layout_->recent, at.keys + at.tile * layout_->recent.key->tile_bytes(),
                          at.values + at.tile * layout_->recent.value->tile_bytes(), count));
            pages.back().origin = slot_positions(begin).origin;
            pages.back().first_position = slot_positions(begin).first;
            begin += count;
        }
        return;
    }
    const int64_t slots = body_slots();
    for (int64_t begin = state_.first_tile * kTileTokens; begin < slots;) {
        const TilePlace at = place(begin / kTileTokens);
        const int64_t room = (at.page_tiles - at.tile) * kTileTokens;
        const int64_t count = std::min(slots - begin, room);
        pages.push_back(page_view(layout_->body,
                                  at.keys + at.tile * layout_->body.key->tile_bytes(),
                                  at.values + at.tile * layout_->body.value->tile_bytes(), count));
        pages.back().origin = slot_positions(begin).origin;
        pages.back().first_position = slot_positions(begin).first;
        if (layout_->selects()) pages.back().positions = slots_.positions().data() + begin;
        begin += count;
    }
}

int64_t HeadCache::num_held() const {
    const int64_t sinks =
        state_.first_page_needed ? std::min(state_.num_tokens, layout_->num_sinks) : 0;
    const int64_t recent_ones =
        layout_->num_recent == 0
            ? 0
            : std::max<int64_t>(0, tokens_after_sinks() - state_.first_recent * kTileTokens);
    return sinks + recent_ones + body_slots() -
           std::min(body_slots(), state_.first_tile * kTileTokens);
}

std::vector<int64_t> HeadCache::positions() const {
    std::vector<int64_t> all;
    const int64_t sinks =
        state_.first_page_needed ? std::min(state_.num_tokens, layout_->num_sinks) : 0;
    for (int64_t t = 0; t < sinks; ++t) all.push_back(first_position_ + t);
    if (layout_->selects()) {
        all.insert(all.end(), slots_.positions().begin(), slots_.positions().end());
        std::sort(all.begin(), all.end());
        return all;
    }
    const int64_t first = std::max(layout_->compensates() ? state_.joined : 0,
                                   layout_->num_sinks + state_.first_tile * kTileTokens);
    for (int64_t t = first; t < state_.num_tokens; ++t) all.push_back(first_position_ + t);
    return all;
}

void HeadCache::read_slot(const SegmentLayout& segment, const RotaryTable* rotary,
                          const std::byte* keys, const std::byte* values, int64_t slot,
                          const SlotPositions& at, float* key, float* value) {
    segment.key->decode(keys, slot, at, key);
    segment.value->decode(values, slot, value);
    if (segment.key->before_rotation() && rotary != nullptr) rotary->rotate(key, at.first);
}

void HeadCache::read(int64_t position, float* key, float* value) const {
    read_for(state_.num_tokens - 1, position, key, value);
}

void HeadCache::read_for(int64_t query, int64_t position, float* key, float* value) const {
    const int64_t token = position - first_position_;
    LOWKEY_CHECK(token >= 0 && token < state_.num_tokens);
    const RotaryTable* rotary = layout_->dims.rotary.get();
    if (token < layout_->num_sinks) {
        LOWKEY_CHECK(state_.first_page_needed);
        const std::byte* keys = pages_.data(0);
        read_slot(layout_->sinks, rotary, keys,
                  keys + layout_->sink_tiles * layout_->sinks.key->tile_bytes(), token,
                  {.origin = first_position_, .first = position}, key, value);
        return;
    }
    int64_t index = token - layout_->num_sinks;
    SlotPositions positions = slot_positions(index);
    if (layout_->num_recent > 0 &&
        index / kTileTokens >= std::min(state_.coded, layout_->coded_tiles(query))) {
        const TilePlace at = recent_place(index / kTileTokens);
        read_slot(layout_->recent, rotary, at.keys, at.values,
                  at.tile * kTileTokens + index % kTileTokens, positions, key, value);
        return;
    }
    if (layout_->selects()) {
        index = slots_.find(position);
        LOWKEY_CHECK(index >= 0);
    }
    LOWKEY_CHECK(index / kTileTokens >= state_.first_tile);
    const TilePlace at = place(index / kTileTokens);
    read_slot(layout_->body, rotary, at.keys, at.values,
              at.tile * kTileTokens + index % kTileTokens, positions, key, value);
}

}  // namespace lowkey
