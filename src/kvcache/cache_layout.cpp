#include "kvcache/cache_layout.h"

#include <algorithm>
#include <optional>
#include <string>

#include "base/error.h"
#include "kvcache/dense_codec.h"

namespace lowkey {
namespace {

constexpr int64_t kMaxSinks = 64;
constexpr int64_t kMaxWindow = int64_t{1} << 40;  // beyond any sequence

/// Which tokens a head keeps: a policy's sinks and window.
struct Kept {
    int64_t sinks = 0;
    int64_t window = 0;  ///< 0: all tokens
};

/// A setting of a policy, in [low, high].
int64_t policy_setting(const TokenPolicySpec& policy, const std::string& name,
                       std::optional<int64_t> fallback, int64_t low, int64_t high,
                       const std::string& where) {
    const auto given = integer_setting(policy.settings, name, where);
    if (!given && !fallback) {
        throw UsageError("token policy '" + policy.name + "' has no setting '" + name + "'", where,
                         "make the plan again");
    }
    const int64_t value = given ? *given : *fallback;
    if (value < low || value > high) {
        throw UsageError("setting '" + name + "' of token policy '" + policy.name + "' is " +
                             std::to_string(value),
                         where, "use " + std::to_string(low) + " to " + std::to_string(high));
    }
    return value;
}

Kept read_policy(const TokenPolicySpec& policy, const std::string& where) {
    if (policy.name == "all") return {};
    if (policy.name == "window") {
        return {policy_setting(policy, "sinks", 0, 0, kMaxSinks, where),
                policy_setting(policy, "window", std::nullopt, 1, kMaxWindow, where)};
    }
    throw UnsupportedError("unknown token policy '" + policy.name + "'", where,
                           "known are all and window");
}

/// Fills in the segments: their codecs, and how far back each is seen. The smaller of the model's
/// window and the policy's counts; the policy's sinks stay as long as the model itself looks back.
void make_segments(const HeadPlan& plan, const CacheShape& shape, const CacheShape::Head& dims,
                   const std::string& where, HeadLayout& head) {
    const CodecContext key{dims.key_dim, shape.dtype, dims.rotary, where + ", key"};
    const CodecContext value{dims.value_dim, shape.dtype, dims.rotary, where + ", value"};
    const Kept kept = read_policy(plan.policy, where);
    const int64_t own = dims.sliding_window;
    const bool narrower = kept.window > 0 && (own == 0 || kept.window < own);
    head.body = {make_key_codec(plan.key, key), make_value_codec(plan.value, value),
                 narrower ? kept.window : own};
    if (plan.exact_sinks < 0 || plan.exact_sinks > kMaxSinks) {
        throw UsageError("exact_sinks is " + std::to_string(plan.exact_sinks), where,
                         "use 0 to " + std::to_string(kMaxSinks));
    }
    head.num_sinks = std::max(plan.exact_sinks, narrower ? kept.sinks : 0);
    if (head.num_sinks == 0) return;
    head.sinks = head.body;
    if (plan.exact_sinks > 0) {
        head.sinks.key = make_dense_key_codec({}, key);
        head.sinks.value = make_dense_value_codec({}, value);
    }
    head.sinks.window = own;
    head.sink_tiles = tiles_for(head.num_sinks);
}

HeadLayout make_head(const HeadPlan& plan, const CacheShape& shape, const CacheShape::Head& dims,
                     const std::string& where) {
    HeadLayout head;
    make_segments(plan, shape, dims, where, head);
    head.page_tiles = kPageBytes / head.body.tile_bytes();
    if (head.page_tiles < 1) {
        throw UnsupportedError("16 tokens take " + std::to_string(head.body.tile_bytes()) +
                                   " bytes, a page has " + std::to_string(kPageBytes),
                               where, "use a codec with fewer bytes per token");
    }
    head.first_page_tiles =
        std::max<int64_t>(0, (kPageBytes - head.sink_bytes()) / head.body.tile_bytes());
    if (head.sink_bytes() > kPageBytes) {
        throw UnsupportedError("the exact sinks take " + std::to_string(head.sink_bytes()) +
                                   " bytes, a page has " + std::to_string(kPageBytes),
                               where, "use fewer exact sinks");
    }
    return head;
}

}  // namespace

bool HeadLayout::sees_sinks(int64_t first_query) const {
    return num_sinks > 0 && (sinks.window == 0 || first_query - sinks.window + 1 < num_sinks);
}

int64_t HeadLayout::first_visible_tile(int64_t first_query) const {
    if (body.window == 0) return 0;
    return std::max<int64_t>(0, first_query - body.window + 1 - num_sinks) / kTileTokens;
}

int64_t HeadLayout::pages_for(int64_t num_tokens, int64_t first_query) const {
    if (num_tokens <= 0) return 0;
    const int64_t begin = first_visible_tile(first_query);
    const int64_t end = tiles_for(std::max<int64_t>(0, num_tokens - num_sinks));
    const bool sinks_seen = sees_sinks(first_query);
    if (begin >= end) return sinks_seen ? 1 : 0;
    const int64_t first = page_of(begin);
    return page_of(end - 1) - first + 1 + (sinks_seen && first > 0 ? 1 : 0);
}

int64_t HeadLayout::peak_pages(int64_t num_tokens, int64_t step) const {
    const int64_t whole = pages_for(num_tokens, 0);
    if (body.window == 0 || num_tokens <= 0) return whole;
    // The tokens that the step's first query sees and the step's own, wherever tiles and pages end.
    const int64_t tokens = std::min(body.window - 1 + step, num_tokens);
    const int64_t tiles = tiles_for(tokens - 1) + 1;
    const int64_t pages = 1 + (tiles - 1 + page_tiles - 1) / page_tiles;
    return std::min(whole, pages + (num_sinks > 0 || first_page_tiles == 0 ? 1 : 0));
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
            heads.push_back(
                make_head(plan.layers[layer][head], shape, shape.layers[layer][head],
                          "layer " + std::to_string(layer) + ", KV head " + std::to_string(head)));
        }
    }
}

int64_t CacheLayout::bytes_for(int64_t num_tokens) const {
    int64_t pages = 0;
    for (const auto& layer : heads_) {
        for (const HeadLayout& head : layer) pages += head.pages_for(num_tokens);
    }
    return pages * kPageBytes;
}

int64_t CacheLayout::peak_bytes(int64_t num_tokens, int64_t step) const {
    int64_t pages = 0;
    int64_t most_extra = 0;
    for (const auto& layer : heads_) {
        int64_t extra = 0;
        for (const HeadLayout& head : layer) {
            const int64_t between = head.peak_pages(num_tokens, 1);
            pages += between;
            extra += head.peak_pages(num_tokens, step) - between;
        }
        most_extra = std::max(most_extra, extra);
    }
    return (pages + most_extra) * kPageBytes;
}

int64_t CacheLayout::bytes_full(int64_t num_tokens) const {
    return 2 * num_layers() * num_kv_heads() * shape_.head_dim * num_tokens * 2;
}

}  // namespace lowkey
