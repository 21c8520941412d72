#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kvcache/codec.h"
#include "kvcache/page_pool.h"
#include "kvcache/plan.h"
#include "kvcache/token_policy.h"

namespace lowkey {

/// Tiles that hold `num_tokens` tokens.
inline int64_t tiles_for(int64_t num_tokens) {
    return (num_tokens + kTileTokens - 1) / kTileTokens;
}

/// Sizes of the vectors that a model's KV heads cache.
struct CacheShape {
    struct Head {
        int64_t key_dim = 0;
        int64_t value_dim = 0;
        /// The model's own: a query sees its own position and the window - 1 before it; 0: all.
        int64_t sliding_window = 0;
        std::shared_ptr<const RotaryTable> rotary = nullptr;  ///< null: keys are not rotated
    };
    std::vector<std::vector<Head>> layers;  ///< [num_layers][num_kv_heads]
    int64_t head_dim = 0;                   ///< of the uncompressed model, for bytes_full
    DType dtype = DType::kBF16;             ///< of dense vectors and of floating-point coordinates
};

/// A run of tokens written by one pair of codecs.
struct SegmentLayout {
    std::shared_ptr<const KeyCodec> key;
    std::shared_ptr<const ValueCodec> value;
    [[nodiscard]] int64_t tile_bytes() const { return key->tile_bytes() + value->tile_bytes(); }
};

/// The most pages of a head: while its layer is at work, and while other layers of a pass are.
struct HeadPeak {
    int64_t within = 0;
    int64_t held = 0;
};

/// How the tokens of one KV head lie in its pages. Tokens are numbered from the first that the
/// cache was given. Tokens [0, num_sinks) are the sinks, in tiles at the start of the first page;
/// after them stands the compensation token, if there is one (key and value, f32); all other tokens
/// are the body, in the rest of that page and in pages of their own. In a page the keys of all
/// tiles of a segment come first, then their values, each in the order the kernels stream. A body
/// with a window lies in the order of its tokens, and a page is needed as long as a query to come
/// can see one of them; the body of a head that selects is dense, in any order.
///
/// With num_recent, tokens beyond the sinks are first written dense, as recent ones, in tiles and
/// pages of their own. A tile is coded, into the same tile of the body, when a query comes that
/// has num_recent tokens (its own among them) behind that tile; queries before it see the tile
/// dense, it and all after it see what the body has. So a query sees the same whether its tokens
/// came one by one or many at a time.
struct HeadLayout {
    CacheShape::Head dims;
    std::shared_ptr<const TokenPolicy> policy;
    int64_t num_sinks = 0;
    SegmentLayout sinks;  ///< null codecs when num_sinks is 0
    SegmentLayout body;
    int64_t sink_tiles = 0;
    int64_t compensation_bytes = 0;  ///< 0: what leaves the window is gone
    int64_t first_page_tiles = 0;    ///< body tiles in the first page
    int64_t page_tiles = 0;          ///< body tiles in every further page
    int64_t num_recent = 0;          ///< 0: tokens are coded at once
    SegmentLayout recent;            ///< null codecs when num_recent is 0
    int64_t recent_page_tiles = 0;   ///< tiles in every page of recent tokens

    [[nodiscard]] int64_t sink_bytes() const {
        return sink_tiles == 0 ? 0 : sink_tiles * sinks.tile_bytes();
    }
    /// Where the body's tiles begin in the first page.
    [[nodiscard]] int64_t body_offset() const { return sink_bytes() + compensation_bytes; }
    [[nodiscard]] bool compensates() const { return compensation_bytes > 0; }
    [[nodiscard]] bool selects() const { return policy->selects(); }
    [[nodiscard]] bool wants_keys_before_rotation() const {
        return body.key->before_rotation() || (num_sinks > 0 && sinks.key->before_rotation());
    }
    /// Body tiles that the query of a token sees coded.
    [[nodiscard]] int64_t coded_tiles(int64_t query) const {
        if (num_recent == 0) return tiles_for(std::max<int64_t>(0, query + 1 - num_sinks));
        return std::max<int64_t>(0, query + 1 - num_recent - num_sinks) / kTileTokens;
    }
    /// Pages of the recent ones of `num_tokens` tokens, for queries from token `first_query` on.
    [[nodiscard]] int64_t recent_pages(int64_t num_tokens, int64_t first_query) const;
    /// The most of them while a sequence grows to `num_tokens`, `step` at a time.
    [[nodiscard]] int64_t most_recent_pages(int64_t num_tokens, int64_t step) const;
    /// Pages of sinks, compensation and body, as pages_for().
    [[nodiscard]] int64_t body_pages(int64_t num_tokens, int64_t first_query,
                                     int64_t prompt_tokens) const;
    /// A query at position p sees the body at positions above p - window(prompt_tokens): the
    /// smaller of the model's window and the policy's; 0: all of it. Likewise the sinks, whose
    /// window is the model's own.
    [[nodiscard]] int64_t window(int64_t prompt_tokens) const;

    /// The page of a body tile.
    [[nodiscard]] int64_t page_of(int64_t tile) const {
        return tile < first_page_tiles ? 0 : 1 + (tile - first_page_tiles) / page_tiles;
    }
    /// Whether the first page holds something for queries from token `first_query` on besides the
    /// body.
    [[nodiscard]] bool needs_first_page(int64_t first_query) const;
    /// The first body tile with a token that queries from token `first_query` on see. Compensation
    /// tokens take up what a query no longer sees when that query comes.
    [[nodiscard]] int64_t first_visible_tile(int64_t first_query, int64_t prompt_tokens) const;

    /// Pages that hold what queries from token `first_query` on see of `num_tokens` tokens, after
    /// prompts of at most `prompt_tokens` tokens.
    [[nodiscard]] int64_t pages_for(int64_t num_tokens, int64_t first_query,
                                    int64_t prompt_tokens) const;
    /// Pages that hold a prompt of `num_tokens` tokens for the queries after it.
    [[nodiscard]] int64_t pages_for(int64_t num_tokens) const {
        return pages_for(num_tokens, num_tokens, num_tokens);
    }
    /// The most pages held while a sequence grows to `num_tokens` tokens, by at most `step` tokens
    /// that attend to each other at a time.
    [[nodiscard]] int64_t peak_pages(int64_t num_tokens, int64_t step, int64_t prompt_tokens) const;

    /// The same with the pages that a pass finds (`old` of them at most) and keeps until it is
    /// committed, beside those that it leaves (`between`) and those that it works on (`within`).
    /// `written_late`: the pass's tokens are written only when older ones have been forgotten.
    [[nodiscard]] HeadPeak keeping(HeadPeak peak, int64_t old, int64_t prompt_tokens,
                                   bool written_late) const;

    // Of heads that select: the most slots taken between steps, and the pages of so many slots.
    [[nodiscard]] int64_t most_slots(int64_t num_tokens, int64_t prompt_tokens) const;
    [[nodiscard]] int64_t slot_pages(int64_t count) const;
};

/// A plan made concrete for a model: every head's codecs and page layout. Immutable, shared by all
/// sequences.
class CacheLayout {
public:
    /// Throws UsageError when the plan's layers, heads or tensors do not fit the shape,
    /// UnsupportedError for unknown codecs and policies.
    CacheLayout(const CachePlan& plan, const CacheShape& shape);

    [[nodiscard]] int64_t num_layers() const { return static_cast<int64_t>(heads_.size()); }
    [[nodiscard]] int64_t num_kv_heads() const {
        return static_cast<int64_t>(heads_.front().size());
    }
    [[nodiscard]] const HeadLayout& head(int64_t layer, int64_t kv_head) const {
        return heads_[static_cast<size_t>(layer)][static_cast<size_t>(kv_head)];
    }
    [[nodiscard]] PrefillAttention prefill_attention() const { return prefill_attention_; }
    /// Whether all tokens of all heads are kept as they are, so that attending to what the cache
    /// holds is attending exactly.
    [[nodiscard]] bool keeps_everything() const { return keeps_everything_; }

    /// Whether some head forgets tokens, or what they were before they were coded, so that what a
    /// prompt did to it cannot be cut off again.
    [[nodiscard]] bool loses_tokens() const { return loses_tokens_; }

    /// Bytes of the pages that a sequence of `num_tokens` takes between steps, of which
    /// `prompt_tokens` were a prompt.
    [[nodiscard]] int64_t bytes_for(int64_t num_tokens, int64_t prompt_tokens) const;
    /// The same for a prompt alone.
    [[nodiscard]] int64_t bytes_for(int64_t num_tokens) const {
        return bytes_for(num_tokens, num_tokens);
    }
    /// The most bytes taken when heads hold so many: only one layer at a time is at work.
    using HeadPeaks = std::function<HeadPeak(int64_t layer, int64_t kv_head)>;
    [[nodiscard]] int64_t peak_bytes(const HeadPeaks& peaks) const;
    /// The same of a new sequence that grows to `num_tokens`, at most `step` at a time.
    [[nodiscard]] int64_t peak_bytes(int64_t num_tokens, int64_t step, int64_t prompt_tokens) const;
    /// The same whatever part of the tokens is a prompt.
    [[nodiscard]] int64_t peak_bytes(int64_t num_tokens, int64_t step) const;
    /// 2 · layers · kv_heads · head_dim · tokens · 2: the uncompressed bf16 cache that ratios refer
    /// to.
    [[nodiscard]] int64_t bytes_full(int64_t num_tokens) const;
    /// The model's shape and the dtype that heads are kept in unless their codec says otherwise.
    [[nodiscard]] const CacheShape& shape() const { return shape_; }

private:
    CacheShape shape_;
    PrefillAttention prefill_attention_;
    bool keeps_everything_ = true;
    bool loses_tokens_ = false;
    std::vector<std::vector<HeadLayout>> heads_;
};

}  // namespace lowkey
