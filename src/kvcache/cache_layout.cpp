#include "kvcache/cache_layout.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace lowkey {
namespace {

/// Bytes of the compensation token; tiles after it start at whole cache lines.
int64_t compensation_bytes(const CacheShape::Head& dims) {
    constexpr int64_t kCacheLine = 64;
    const auto bytes = (dims.key_dim + dims.value_dim) * static_cast<int64_t>(sizeof(float));
    return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
}

/// Fills in the segments and what stands between them. The policy's sinks stay as long as the model
/// itself looks back.
void make_segments(const HeadPlan& plan, const CacheShape& shape, const std::string& where,
                   HeadLayout& head) {
    const CacheShape::Head& dims = head.dims;
    const CodecContext key{dims.key_dim, shape.dtype, dims.rotary, where + ", key"};
    const CodecContext value{dims.value_dim, shape.dtype, dims.rotary, where + ", value"};
    head.body = {make_key_codec(plan.key, key), make_value_codec(plan.value, value)};
    if (head.selects() && !head.body.key->any_order()) {
        throw UnsupportedError("keys in blocks cannot be selected among", where,
                               "use a basis after or before rotation for heads that select");
    }
    if (plan.exact_sinks < 0 || plan.exact_sinks > kMaxSinks) {
        throw UsageError("exact_sinks is " + std::to_string(plan.exact_sinks), where,
                         "use 0 to " + std::to_string(kMaxSinks));
    }
    const int64_t least = head.policy->window(0);
    const bool narrower = least > 0 && (dims.sliding_window == 0 || least < dims.sliding_window);
    if (narrower && dims.sliding_window > 0 &&
        (head.policy->compensates() || head.policy->reindexes())) {
        throw UnsupportedError(
            "a layer with a sliding window of its own takes no compensation token and no "
            "re-indexed sinks",
            where, "use the policy all for it, or a plain window");
    }
    if (narrower && head.policy->compensates()) head.compensation_bytes = compensation_bytes(dims);
    head.num_sinks = std::max(plan.exact_sinks, narrower ? head.policy->sinks() : 0);
    if (plan.exact_recent < 0 || plan.exact_recent > kMaxRecent) {
        throw UsageError("exact_recent is " + std::to_string(plan.exact_recent), where,
                         "use 0 to " + std::to_string(kMaxRecent));
    }
    // What is written dense anyway needs no copy.
    if (plan.exact_recent > 0 && !(is_plain(plan.key) && is_plain(plan.value))) {
        if (head.selects()) {
            throw UnsupportedError("a head that selects has no exact recent tokens", where,
                                   "use exact_recent 0 for it");
        }
        head.num_recent = plan.exact_recent;
        head.recent = {make_key_codec({}, key), make_value_codec({}, value)};
    }
    if (head.num_sinks == 0) return;
    head.sinks = head.body;
    if (plan.exact_sinks > 0) {
        head.sinks.key = make_key_codec({}, key);
        head.sinks.value = make_value_codec({}, value);
    }
    if (narrower && head.policy->reindexes() && head.sinks.key->before_rotation()) {
        throw UnsupportedError("re-indexed sinks cannot be written before rotation", where,
                               "use a codec after rotation, or exact sinks");
    }
    if (narrower && head.policy->reindexes() && dims.rotary != nullptr &&
        dims.rotary->depends_on_length()) {
        throw UnsupportedError(
            "re-indexed sinks need rotary frequencies that do not depend on the sequence's length",
            where, "leave the re-indexing out");
    }
    head.sink_tiles = tiles_for(head.num_sinks);
}

/// Whether a head keeps every token as an uncompressed cache does.
bool is_whole(const HeadPlan& head) {
    return head.policy.name == TokenPolicySpec().name && is_plain(head.key) &&
           is_plain(head.value) && head.exact_sinks == 0;
}

HeadLayout make_head(const HeadPlan& plan, const CacheShape& shape, const CacheShape::Head& dims,
                     const std::string& where) {
    HeadLayout head;
    head.dims = dims;
    head.policy = make_token_policy(plan.policy, where);
    make_segments(plan, shape, where, head);
    head.page_tiles = kPageBytes / head.body.tile_bytes();
    if (head.page_tiles < 1) {
        throw UnsupportedError("16 tokens take " + std::to_string(head.body.tile_bytes()) +
                                   " bytes, a page has " + std::to_string(kPageBytes),
                               where, "use a codec with fewer bytes per token");
    }
    head.first_page_tiles =
        std::max<int64_t>(0, (kPageBytes - head.body_offset()) / head.body.tile_bytes());
    if (head.num_recent > 0)
        head.recent_page_tiles = std::max<int64_t>(1, kPageBytes / head.recent.tile_bytes());
    if (head.body_offset() > kPageBytes) {
        throw UnsupportedError("the sinks take " + std::to_string(head.body_offset()) +
                                   " bytes, a page has " + std::to_string(kPageBytes),
                               where, "use fewer sinks");
    }
    return head;
}

}  // namespace

int64_t HeadLayout::window(int64_t prompt_tokens) const {
    const int64_t own = dims.sliding_window;
    const int64_t kept = policy->window(prompt_tokens);
    return kept > 0 && (own == 0 || kept < own) ? kept : own;
}

bool HeadLayout::needs_first_page(int64_t first_query) const {
    const int64_t own = dims.sliding_window;
    return compensates() || (num_sinks > 0 && (own == 0 || first_query - own + 1 < num_sinks));
}

int64_t HeadLayout::first_visible_tile(int64_t first_query, int64_t prompt_tokens) const {
    const int64_t seen = window(prompt_tokens);
    if (seen == 0 || selects()) return 0;
    const int64_t last_query = compensates() ? first_query - 1 : first_query;
    return std::max<int64_t>(0, last_query - seen + 1 - num_sinks) / kTileTokens;
}

int64_t HeadLayout::most_slots(int64_t num_tokens, int64_t prompt_tokens) const {
    const int64_t body_tokens = std::max<int64_t>(0, num_tokens - num_sinks);
    return std::min(body_tokens, policy->most_kept(prompt_tokens, num_tokens));
}

int64_t HeadLayout::slot_pages(int64_t count) const {
    if (count > 0) return page_of(tiles_for(count) - 1) + 1;
    return num_sinks > 0 ? 1 : 0;
}

int64_t HeadLayout::recent_pages(int64_t num_tokens, int64_t first_query) const {
    if (num_recent == 0 || num_tokens <= num_sinks) return 0;
    const int64_t end = tiles_for(num_tokens - num_sinks);
    // What the last token's query does not see coded is not yet.
    const int64_t begin = std::min(coded_tiles(first_query), coded_tiles(num_tokens - 1));
    if (begin >= end) return 0;
    return (end - 1) / recent_page_tiles - begin / recent_page_tiles + 1;
}

int64_t HeadLayout::most_recent_pages(int64_t num_tokens, int64_t step) const {
    if (num_recent == 0 || num_tokens <= num_sinks) return 0;
    const int64_t all = tiles_for(num_tokens - num_sinks);
    // Of what a step's first query sees and of the step's own tokens, wherever tiles and pages end;
    // the tile that was coded last is there until its step is over.
    const int64_t tiles = std::min(all, tiles_for(num_recent + step) + 2);
    return std::min((all + recent_page_tiles - 1) / recent_page_tiles,
                    (tiles + recent_page_tiles - 2) / recent_page_tiles + 1);
}

int64_t HeadLayout::body_pages(int64_t num_tokens, int64_t first_query,
                               int64_t prompt_tokens) const {
    const int64_t begin = first_visible_tile(first_query, prompt_tokens);
    const int64_t end = coded_tiles(num_tokens - 1);
    const bool first_needed = needs_first_page(first_query);
    if (begin >= end) return first_needed ? 1 : 0;
    const int64_t first = page_of(begin);
    return page_of(end - 1) - first + 1 + (first_needed && first > 0 ? 1 : 0);
}

int64_t HeadLayout::pages_for(int64_t num_tokens, int64_t first_query,
                              int64_t prompt_tokens) const {
    if (num_tokens <= 0) return 0;
    if (selects()) return slot_pages(most_slots(num_tokens, prompt_tokens));
    return body_pages(num_tokens, first_query, prompt_tokens) +
           recent_pages(num_tokens, first_query);
}

int64_t HeadLayout::peak_pages(int64_t num_tokens, int64_t step, int64_t prompt_tokens) const {
    if (num_tokens <= 0) return 0;
    if (selects()) {
        const int64_t body_tokens = std::max<int64_t>(0, num_tokens - num_sinks);
        return slot_pages(std::min(body_tokens, most_slots(num_tokens, prompt_tokens) + step));
    }
    const int64_t recent_ones = most_recent_pages(num_tokens, step);
    const int64_t whole = body_pages(num_tokens, 0, prompt_tokens);
    const int64_t seen = window(prompt_tokens);
    if (seen == 0) return whole + recent_ones;
    // The tokens that the step's first query sees and the step's own, wherever tiles and pages end.
    const int64_t tokens = std::min(seen - 1 + step + (compensates() ? 1 : 0), num_tokens);
    const int64_t tiles = tiles_for(tokens - 1) + 1;
    const int64_t pages = 1 + (tiles - 1 + page_tiles - 1) / page_tiles;
    const bool first_page = num_sinks > 0 || compensates() || first_page_tiles == 0;
    return std::min(whole, pages + (first_page ? 1 : 0)) + recent_ones;
}

HeadPeak HeadLayout::keeping(HeadPeak peak, int64_t old, int64_t prompt_tokens,
                             bool written_late) const {
    if (selects()) {
        // A body that selects is copied.
        peak.within += old;
        peak.held += old;
    } else if (window(prompt_tokens) > 0) {
        // A window's pages are the same ones as far as the old and the new overlap.
        const int64_t both = peak.held + old;
        peak.held = written_late ? both : std::min(both, peak.within);
    } else if (num_recent > 0) {
        // Recent tokens that are coded in the pass are kept until it is committed.
        constexpr int64_t kAnyLength = int64_t{1} << 40;
        const int64_t kept = std::min(old, most_recent_pages(kAnyLength, 1));
        const int64_t both = peak.held + kept;
        peak.held = written_late ? both : std::max(peak.held, std::min(both, peak.within));
    }
    return peak;
}

CacheLayout::CacheLayout(const CachePlan& plan, const CacheShape& shape)
    : shape_(shape), prefill_attention_(plan.prefill_attention) {
    LOWKEY_CHECK(!shape.layers.empty());
    if (plan.layers.size() != shape.layers.size()) {
        throw UsageError("plan made for another model",
                         "the plan has " + std::to_string(plan.layers.size()) +
                             " layers, the model " + std::to_string(shape.layers.size()),
                         "make a plan for this model");
    }
    for (size_t layer = 0; layer < shape.layers.size(); ++layer) {
        if (plan.layers[layer].size() != shape.layers[layer].size()) {
            throw UsageError("plan made for another model",
                             "the plan has " + std::to_string(plan.layers[layer].size()) +
                                 " KV heads in layer " + std::to_string(layer) + ", the model " +
                                 std::to_string(shape.layers[layer].size()),
                             "make a plan for this model");
        }
        std::vector<HeadLayout>& heads = heads_.emplace_back();
        for (size_t head = 0; head < shape.layers[layer].size(); ++head) {
            const HeadPlan& own = plan.layers[layer][head];
            const CacheShape::Head& dims = shape.layers[layer][head];
            heads.push_back(
                make_head(own, shape, dims,
                          "layer " + std::to_string(layer) + ", KV head " + std::to_string(head)));
            loses_tokens_ = loses_tokens_ || heads.back().selects() || heads.back().window(0) > 0 ||
                            heads.back().num_recent > 0;
            keeps_everything_ = keeps_everything_ && is_whole(own) && dims.sliding_window == 0;
        }
    }
}

int64_t CacheLayout::bytes_for(int64_t num_tokens, int64_t prompt_tokens) const {
    int64_t pages = 0;
    for (const auto& layer : heads_) {
        for (const HeadLayout& head : layer)
            pages += head.pages_for(num_tokens, num_tokens, prompt_tokens);
    }
    return pages * kPageBytes;
}

int64_t CacheLayout::peak_bytes(const HeadPeaks& peaks) const {
    int64_t pages = 0;
    int64_t most_extra = 0;
    for (int64_t layer = 0; layer < num_layers(); ++layer) {
        int64_t extra = 0;
        for (int64_t kv_head = 0; kv_head < num_kv_heads(); ++kv_head) {
            const HeadPeak peak = peaks(layer, kv_head);
            pages += peak.held;
            extra += std::max<int64_t>(0, peak.within - peak.held);
        }
        most_extra = std::max(most_extra, extra);
    }
    return (pages + most_extra) * kPageBytes;
}

int64_t CacheLayout::peak_bytes(int64_t num_tokens, int64_t step, int64_t prompt_tokens) const {
    return peak_bytes([&](int64_t layer, int64_t kv_head) {
        const HeadLayout& own = head(layer, kv_head);
        const int64_t between = own.peak_pages(num_tokens, 1, prompt_tokens);
        const HeadPeak peak{own.peak_pages(num_tokens, step, prompt_tokens), between};
        if (step <= 1 || step >= num_tokens) return peak;
        return own.keeping(peak, between, prompt_tokens, /*written_late=*/false);
    });
}

int64_t CacheLayout::peak_bytes(int64_t num_tokens, int64_t step) const {
    // Windows are widest after the longest prompt; what is generated may all stay.
    return std::max(peak_bytes(num_tokens, step, num_tokens), peak_bytes(num_tokens, step, 0));
}

int64_t CacheLayout::bytes_full(int64_t num_tokens) const {
    return 2 * num_layers() * num_kv_heads() * shape_.head_dim * num_tokens * 2;
}

}  // namespace lowkey
