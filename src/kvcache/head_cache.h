#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kvcache/cache_layout.h"
#include "kvcache/page_table.h"
#include "kvcache/slot_table.h"

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
    int64_t origin = 0;  ///< position of the segment's first token
};

/// Positions [begin, end).
struct PositionRange {
    int64_t begin = 0;
    int64_t end = 0;
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

/// The numbers of a head that a step changes, beside its pages and slots.
struct HeadCacheState {
    int64_t num_tokens = 0;
    int64_t prompt_tokens = 0;
    bool first_page_needed = true;
    // Body tokens before this one have left the window of every query to come. Later prompts may
    // widen the window, but what has left is gone (or in the mean).
    int64_t horizon = 0;
    int64_t first_tile = 0;  // body tiles before this one are forgotten
    int64_t first_page = 1;  // pages from 1 to before this one are gone
    // Recent tokens: tiles before `coded` are in the body (or forgotten), those from `first_recent`
    // on are dense. No query comes below token `next_query`.
    int64_t coded = 0;
    int64_t first_recent = 0;
    int64_t next_query = 0;
    // Compensation: tokens in [num_sinks, joined) are in the mean, whose numbers are in the page.
    int64_t joined = 0;
    double mean_position = 0;
};

/// What one KV head remembers of one sequence. A copy shares the pages; whoever writes to a shared
/// page takes one of his own first, in reserve().
///
/// A pass over some tokens: begin_prompt() if they are part of a prompt; then either reserve(),
/// append(), settle(), attention, select(), forget(), or, for prompts that attend to themselves
/// elsewhere, reserve(0), settle(), attention, select(), forget(), reserve(), append().
///
/// All that between begin_step() and commit() or rollback() is one step: it is there as a whole or
/// leaves the head as it was. Without begin_step() everything takes effect at once.
class HeadCache {
public:
    /// `first_position` is that of the first token that will be appended. Pages are taken on behalf
    /// of `promise`.
    HeadCache(const HeadLayout& layout, PagePool& pool, PagePromise& promise,
              int64_t first_position);
    /// A copy, whose further pages are another promise's. `other` is in no step.
    HeadCache(const HeadCache& other, PagePromise& promise);
    HeadCache(HeadCache&&) noexcept = default;
    HeadCache& operator=(HeadCache&&) noexcept = default;
    ~HeadCache() = default;
    /// Further pages are another promise's.
    void rebind(PagePromise& promise) {
        pages_.rebind(promise);
        recent_.rebind(promise);
    }
    /// Lets all pages go, to another promise; the head is then of no use.
    void give_back(PagePromise& promise) noexcept {
        pages_.give_back(promise);
        recent_.give_back(promise);
    }

    /// Tokens that were appended, forgotten ones included.
    [[nodiscard]] int64_t num_tokens() const { return state_.num_tokens; }
    [[nodiscard]] int64_t first_position() const { return first_position_; }
    [[nodiscard]] const HeadLayout& layout() const { return *layout_; }
    /// Pages held, without those that a step keeps for the case that it fails.
    [[nodiscard]] int64_t num_pages() const { return pages_.num_pages() + recent_.num_pages(); }
    /// The most pages held while it grows from here to `num_tokens`, at most `step` tokens at a
    /// time.
    [[nodiscard]] int64_t peak_pages(int64_t num_tokens, int64_t step, int64_t prompt_tokens) const;
    /// Pages that appending one token would take of the pool right now.
    [[nodiscard]] int64_t pages_of_next_token() const;
    /// Pages of these that other caches hold too and that growing does not reuse: it copies them,
    /// or drops them, which gives nothing back.
    [[nodiscard]] int64_t shared_pages_to_replace() const;

    /// Begins a step. `selects_late`: tokens that are selected away leave when it is committed, so
    /// that select() changes nothing before; otherwise at once, in copies of the pages, which suits
    /// many tokens. Throws std::bad_alloc; no step has then begun.
    void begin_step(bool selects_late);
    [[nodiscard]] bool in_step() const { return pages_.in_step(); }
    /// What may throw in a commit: chooses the tokens that leave late.
    void prepare_commit();
    [[nodiscard]] bool must_prepare() const { return late_.has_value(); }
    /// Ends a step; nothing without one.
    void commit() noexcept;
    void rollback() noexcept;

    /// Forgets the tokens from `num_tokens` on, if all is here that a sequence of so many would
    /// hold and nothing of the others is left behind (selection and means keep traces of them).
    [[nodiscard]] bool can_truncate(int64_t num_tokens) const;
    void truncate(int64_t num_tokens) noexcept;

    /// Says that a prompt comes that ends before token `end_token`: windows that depend on its
    /// length grow.
    void begin_prompt(int64_t end_token) {
        state_.prompt_tokens = std::max(state_.prompt_tokens, end_token);
    }
    [[nodiscard]] int64_t prompt_tokens() const { return state_.prompt_tokens; }

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
    /// Room for the attention of the step's observed queries to the tokens here, zeros: [num_held].
    [[nodiscard]] std::span<double> new_received();
    /// select() by what was written there; late if the step began so.
    void select_received(bool prompt);

    /// Segments in the order of positions: sinks (if any), body, recent tokens (if any).
    [[nodiscard]] int64_t num_segments() const {
        return body_segment() + (layout_->num_recent > 0 ? 2 : 1);
    }
    [[nodiscard]] const SegmentLayout& segment(int64_t i) const {
        return is_sinks(i) ? layout_->sinks : is_recent(i) ? layout_->recent : layout_->body;
    }
    /// What the query of a position sees of a segment, as far as it has tokens there; neither end
    /// falls as positions rise. Of tokens in any order it sees those in the range.
    [[nodiscard]] PositionRange seen(int64_t segment, int64_t position) const;
    /// Positions by which a query at `position` moves towards the segment's tokens: re-indexed
    /// sinks stand right before the window.
    [[nodiscard]] int64_t query_shift(int64_t i, int64_t position) const;
    /// The non-empty runs of a segment that queries to come may see, in order.
    void segment_pages(int64_t segment, std::vector<PageView>& pages) const;

    /// Tokens in the runs of all segments.
    [[nodiscard]] int64_t num_held() const;
    /// Positions of all tokens here, ascending.
    [[nodiscard]] std::vector<int64_t> positions() const;
    /// Key (rotated) and value of the token at an absolute position, as the newest query sees them.
    /// The position must not be forgotten.
    void read(int64_t position, float* key, float* value) const;

private:
    /// A body tile: its page's first key and value byte and the tile's number in the page.
    struct TilePlace {
        std::byte* keys;
        std::byte* values;
        int64_t tile;
        int64_t page_tiles;
    };
    struct TileRange {
        int64_t begin;
        int64_t end;
    };
    [[nodiscard]] TilePlace place(int64_t tile) const;
    [[nodiscard]] int64_t body_segment() const { return layout_->num_sinks > 0 ? 1 : 0; }
    [[nodiscard]] bool is_sinks(int64_t segment) const { return segment < body_segment(); }
    [[nodiscard]] bool is_recent(int64_t segment) const { return segment > body_segment(); }
    /// Tokens beyond the sinks.
    [[nodiscard]] int64_t tokens_after_sinks() const {
        return std::max<int64_t>(0, state_.num_tokens - layout_->num_sinks);
    }
    /// Body tokens in slots from the first page on: all that are coded, or all that are kept.
    [[nodiscard]] int64_t body_slots() const;
    /// Where the slot of a token beyond the sinks stands.
    [[nodiscard]] SlotPositions slot_positions(int64_t index) const {
        const int64_t origin = first_position_ + layout_->num_sinks;
        return {.origin = origin, .first = origin + index};
    }
    [[nodiscard]] TilePlace recent_place(int64_t tile) const;
    /// Of tokens that are appended now: the tiles that are coded at once, without being recent.
    [[nodiscard]] TileRange coded_at_once(int64_t num_tokens) const;
    /// Calls fn(page, to_write) for the pages that appending needs.
    template <typename Fn>
    void for_pages(int64_t num_tokens, int64_t entering, Fn fn) const;
    /// The same for pages of recent tokens.
    template <typename Fn>
    void for_recent_pages(int64_t num_tokens, Fn fn) const;

    void write_sinks(const TokenRows& rows);
    void write_body(const TokenRows& rows, int64_t first_slot);
    void write_recent(const TokenRows& rows, int64_t first_index);
    void append_recent(const TokenRows& rows, int64_t first_index, TileRange once);
    /// Codes recent tiles up to `end`.
    void code_until(int64_t end);
    /// Lets tiles go that no query to come sees dense.
    void forget_recent();
    /// Attention to the slots, of that to all tokens here.
    [[nodiscard]] std::span<const double> of_slots(std::span<const double> cached) const {
        return cached.last(static_cast<size_t>(slots_.size()));
    }
    void apply(SlotTable::Choice& choice, std::span<const double> cached);

    // Compensation.
    void pass_over(const TokenRows& rows);
    /// Tokens before this one join, as the query of a token sees them.
    void join_until(int64_t token, int64_t query);
    /// read() as the query of a token sees it.
    void read_for(int64_t query, int64_t position, float* key, float* value) const;
    void join(int64_t token, const float* key, const float* value);
    /// Of a segment's slot: the key rotated.
    static void read_slot(const SegmentLayout& segment, const RotaryTable* rotary,
                          const std::byte* keys, const std::byte* values, int64_t slot,
                          const SlotPositions& at, float* key, float* value);
    [[nodiscard]] float* mean() const;

    const HeadLayout* layout_;
    int64_t first_position_;
    HeadCacheState state_;
    PageTable pages_;
    PageTable recent_;  // by tile of the body / recent_page_tiles
    SlotTable slots_;

    // The step: what was before it, and what is to leave when it ends.
    HeadCacheState saved_;
    std::vector<float> saved_mean_;
    bool selects_late_ = false;
    struct Late {
        bool prompt;
        std::optional<SlotTable::Choice> choice;
    };
    std::optional<Late> late_;
    std::vector<double> received_;

    // What the queries of the current step see; equal rows are stored once.
    struct Settled {
        int64_t num_tokens;
        double position;
        int64_t row;  // first float in settled_means_
    };
    int64_t first_settled_ = 0;
    std::vector<Settled> settled_;
    std::vector<float> settled_means_;  // [rows, key_dim + value_dim]
};

}  // namespace lowkey
