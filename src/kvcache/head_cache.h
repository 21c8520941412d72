#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvcache/cache_layout.h"
#include "kvcache/page_pool.h"

namespace lowkey {

/// A run of tokens within one page: what attention streams.
struct PageView {
    const std::byte* keys = nullptr;
    const std::byte* values = nullptr;
    int64_t key_bytes = 0;  ///< of the tiles that hold tokens
    int64_t value_bytes = 0;
    int64_t num_tokens = 0;
    int64_t first_position = 0;  ///< of tokens in order
    /// [num_tokens] of tokens in any order; null: they follow each other from first_position.
    const int32_t* positions = nullptr;
};

/// What stands for the tokens that left a window. Source: RazorAttention (arXiv 2407.15891),
/// section 3.3.
struct CompensationToken {
    int64_t num_tokens = 0;        ///< that it stands for; 0: there is none
    double position = 0;           ///< their mean position
    const float* key = nullptr;    ///< their mean key, as queries see it, [key_dim]
    const float* value = nullptr;  ///< their mean value, [value_dim]
};

/// Keys and values of consecutive tokens, rows `stride` floats apart.
struct TokenRows {
    const float* keys_before = nullptr;  ///< before rotation
    const float* keys_after = nullptr;
    int64_t key_stride = 0;
    const float* values = nullptr;
    int64_t value_stride = 0;
    int64_t num_tokens = 0;

    /// Rows [first, first + count).
    [[nodiscard]] TokenRows slice(int64_t first, int64_t count) const;
};

/// What one KV head remembers of one sequence. A copy shares the pages; whoever writes to a shared
/// page takes one of his own first, in reserve().
///
/// One step: begin_prompt() if it is part of a prompt; then either reserve(), append(), settle(),
/// attention, select(), forget(), or, for prompts that attend to themselves elsewhere, reserve(0),
/// settle(), attention, select(), forget(), reserve(), append().
class HeadCache {
public:
    /// `first_position` is that of the first token that will be appended.
    HeadCache(const HeadLayout& layout, PagePool& pool, int64_t first_position);

    /// Tokens that were appended, forgotten ones included.
    [[nodiscard]] int64_t num_tokens() const { return num_tokens_; }
    [[nodiscard]] int64_t first_position() const { return first_position_; }
    [[nodiscard]] const HeadLayout& layout() const { return *layout_; }
    /// Pages held.
    [[nodiscard]] int64_t num_pages() const { return num_pages_; }
    /// The most pages held while it grows from here to `num_tokens`, at most `step` tokens at a
    /// time.
    [[nodiscard]] int64_t peak_pages(int64_t num_tokens, int64_t step, int64_t prompt_tokens) const;
    /// Pages of these that other caches hold too and that growing does not reuse: it copies them,
    /// or drops them, which gives nothing back.
    [[nodiscard]] int64_t shared_pages_to_replace() const;

    /// Says that a prompt comes that ends before token `end_token`: windows that depend on its
    /// length grow.
    void begin_prompt(int64_t end_token) { prompt_tokens_ = std::max(prompt_tokens_, end_token); }
    [[nodiscard]] int64_t prompt_tokens() const { return prompt_tokens_; }

    /// Takes the pages that appending so many tokens needs: to a body that selects, `entering` of
    /// them; to one that forgets nothing, all that its prompt will need. Throws BudgetError; what
    /// was taken stays taken.
    void reserve(int64_t num_tokens) { reserve(num_tokens, num_tokens); }
    void reserve(int64_t num_tokens, int64_t entering);
    /// Appends tokens (the codec takes the keys it wants). The pages must have been reserved. Heads
    /// may be appended to in parallel.
    void append(const TokenRows& rows);
    /// The same for a head that selects: only the tokens at `entering` (ascending indices of rows)
    /// join the body, with the attention that they have got so far [entering]. Sinks enter anyway.
    void append_selected(const TokenRows& rows, std::span<const int64_t> entering,
                         std::span<const double> attention);

    /// Says that the queries of tokens [first_query, first_query + num_queries) come: of the tokens
    /// here, those that each no longer sees join its compensation token.
    void settle(int64_t first_query, int64_t num_queries);
    /// What stands for the tokens that the query of a token does not see, after settle().
    [[nodiscard]] CompensationToken compensation(int64_t query) const;
    /// What stands for all tokens that have left so far.
    [[nodiscard]] CompensationToken compensation() const;
    /// Says that no query below token `first_query` comes any more: pages that later ones cannot
    /// see go back to the pool. Tokens not yet appended may be among those: append() passes them
    /// over.
    void forget(int64_t first_query);

    /// For heads that select: lets tokens leave after a step. `cached` is the attention of the
    /// step's observed queries to the tokens here, in the order of segment_pages() over all
    /// segments; `arriving` the same for tokens that are not appended yet, from token num_tokens()
    /// on. Returns the indices of those that may enter.
    std::vector<int64_t> select(std::span<const double> cached, std::span<const double> arriving,
                                bool prompt);

    /// Segments in the order of positions: sinks (if any), body.
    [[nodiscard]] int64_t num_segments() const { return layout_->num_sinks > 0 ? 2 : 1; }
    [[nodiscard]] const SegmentLayout& segment(int64_t i) const {
        return is_sinks(i) ? layout_->sinks : layout_->body;
    }
    /// A query at position p sees a segment's tokens at positions above p - window; 0: all up to p.
    [[nodiscard]] int64_t segment_window(int64_t i) const {
        return is_sinks(i) ? layout_->dims.sliding_window : layout_->window(prompt_tokens_);
    }
    /// Tokens of a segment below this position are seen by no query any more, whatever its window.
    [[nodiscard]] int64_t first_seen(int64_t i) const {
        return first_position_ + (is_sinks(i) ? 0 : horizon_);
    }
    /// Positions by which a query at `position` moves towards the segment's tokens: re-indexed
    /// sinks stand right before the window.
    [[nodiscard]] int64_t query_shift(int64_t i, int64_t position) const;
    /// The non-empty runs of a segment that queries to come may see, in order.
    void segment_pages(int64_t segment, std::vector<PageView>& pages) const;

    /// Tokens in the runs of all segments.
    [[nodiscard]] int64_t num_held() const;
    /// Positions of all tokens here, ascending.
    [[nodiscard]] std::vector<int64_t> positions() const;
    /// Key (as the codec keeps it: before or after rotation) and value of the token at an absolute
    /// position, decoded. The position must not be forgotten.
    void read(int64_t position, float* key, float* value) const;

private:
    /// A body tile: its page's first key and value byte and the tile's number in the page.
    struct TilePlace {
        std::byte* keys;
        std::byte* values;
        int64_t tile;
        int64_t page_tiles;
    };
    [[nodiscard]] TilePlace place(int64_t tile) const;
    [[nodiscard]] bool is_sinks(int64_t segment) const {
        return segment == 0 && layout_->num_sinks > 0;
    }
    /// Body tokens in slots from the first page on: all that were appended, or all that are kept.
    [[nodiscard]] int64_t body_slots() const;
    void take_page(int64_t page, bool to_write);
    void drop_page(int64_t page);

    void write_sinks(const TokenRows& rows);
    void write_body(const TokenRows& rows, int64_t first_slot);
    void move_slot(int64_t from, int64_t to);

    // Compensation.
    void pass_over(const TokenRows& rows);
    void join_until(int64_t token);
    /// key: as the codec keeps it; rotated here.
    void join(int64_t token, float* key, const float* value);
    [[nodiscard]] float* mean() const;

    const HeadLayout* layout_;
    PagePool* pool_;
    int64_t first_position_;
    int64_t num_tokens_ = 0;
    int64_t prompt_tokens_ = 0;
    bool first_page_needed_ = true;
    // Body tokens before this one have left the window of every query to come. Later prompts may
    // widen the window, but what has left is gone (or in the mean).
    int64_t horizon_ = 0;
    int64_t first_tile_ = 0;      // body tiles before this one are forgotten
    int64_t first_page_ = 1;      // pages from 1 to before this one are gone
    std::vector<PageRef> pages_;  // by number; null where forgotten or not reserved
    int64_t num_pages_ = 0;

    // Compensation: tokens in [num_sinks, joined_) are in the mean, whose numbers are in the page.
    int64_t joined_ = 0;
    double mean_position_ = 0;
    // What the queries of the current step see; equal rows are stored once.
    struct Settled {
        int64_t num_tokens;
        double position;
        int64_t row;  // first float in settled_means_
    };
    int64_t first_settled_ = 0;
    std::vector<Settled> settled_;
    std::vector<float> settled_means_;  // [rows, key_dim + value_dim]

    // Selection: per slot of the body.
    std::vector<int32_t> slot_positions_;
    std::vector<double> slot_attention_;
};

}  // namespace lowkey
