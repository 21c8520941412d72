#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "attention/attention.h"
#include "kernels/kernels.h"

namespace lowkey {

/// Memory of a thread that attention uses beside codecs.
enum AttentionSlot : size_t {
    kPrepared = kFirstFreeScratch,
    kScores,
    kQueries,
    kMovedQueries,
    kSegmentState,
    kBlockState
};

/// Tokens [begin, end) of a task: their query rows, all queries of a token side by side.
struct QueryBlock {
    const AttentionTask* task;
    int64_t begin;
    int64_t end;
    [[nodiscard]] int64_t rows() const { return (end - begin) * task->group_size; }
};

/// What is the same for all pages of one segment of a task.
struct SegmentView {
    const AttentionTask* task;
    const HeadCache* cache;
    int64_t index;  ///< of the segment
    [[nodiscard]] const SegmentLayout& layout() const { return cache->segment(index); }
    [[nodiscard]] PositionRange seen(int64_t position) const {
        return cache->seen(index, position);
    }
};

/// Scores of one page for the rows of a block, whose queries are prepared.
class PageScores {
public:
    PageScores(const QueryBlock& block, const SegmentView& segment, const std::byte* prepared,
               float softcap, Scratch& scratch)
        : block_(block),
          segment_(segment),
          prepared_(prepared),
          softcap_(softcap),
          scratch_(scratch) {}

    /// Rows [first_row, first_row + num_rows) of the block may see the page: their scores, `stride`
    /// apart.
    struct Rows {
        int64_t first_row = 0;
        int64_t num_rows = 0;
        int64_t stride = 0;
        int64_t num_tiles = 0;
        float* scores = nullptr;
    };
    /// Rows that see slots [begin, end) of the page, and where their scores of slot 0 are.
    struct Seen {
        int64_t first_row;
        int64_t num_rows;
        float* scores;
        int64_t stride;
        int64_t begin;
        int64_t end;
    };
    /// Calls visit(seen) for the rows of the block that see tokens of the page: scores biased, -inf
    /// where a token between is not seen. Scores of all other slots and rows are 0.
    template <typename Visit>
    Rows compute(const PageView& page, SoonRead soon, Visit visit) {
        const AttentionTask& task = *block_.task;
        const int64_t group = task.group_size;
        const int64_t first_position = task.first_position + block_.begin;  // of row 0
        // Tokens before the first see nothing of the page yet, tokens from the last on no more.
        int64_t first_token = 0;
        int64_t last_token = block_.end - block_.begin;
        if (page.positions == nullptr) {
            const auto sees = [&](int64_t token) {
                const Visible visible = find_visible(page, first_position + token);
                return visible.begin < visible.end;
            };
            while (first_token < last_token && !sees(first_token)) ++first_token;
            while (last_token > first_token && !sees(last_token - 1)) --last_token;
        }
        Rows rows;
        rows.num_rows = (last_token - first_token) * group;
        if (rows.num_rows <= 0) return {};
        rows.first_row = first_token * group;
        // Tiles that lie after the last query are not scored.
        const int64_t last_position = first_position + last_token - 1;
        const int64_t num_slots = find_visible(page, last_position).end;
        rows.num_tiles = (num_slots + kTileTokens - 1) / kTileTokens;
        rows.stride = rows.num_tiles * kTileTokens;
        const KeyCodec& key = *segment_.layout().key;
        rows.scores = scratch_.floats(kScores, rows.num_rows * rows.stride);
        key.score(prepared_ + rows.first_row * key.query_bytes(), rows.num_rows,
                  {page.keys, rows.num_tiles, soon}, slot_positions(page, rows.stride), rows.scores,
                  rows.stride, scratch_);
        if (all_see_all(page, first_position + first_token, last_position)) {
            if (softcap_ > 0) kernels().softcap(rows.scores, rows.num_rows * rows.stride, softcap_);
            for (int64_t r = 0; r < rows.num_rows && page.num_tokens < rows.stride; ++r) {
                float* row = rows.scores + r * rows.stride;
                std::fill(row + page.num_tokens, row + rows.stride, 0.0f);
            }
            visit(
                Seen{rows.first_row, rows.num_rows, rows.scores, rows.stride, 0, page.num_tokens});
            return rows;
        }
        for (int64_t r = 0; r < rows.num_rows; ++r) {
            const int64_t position = first_position + (rows.first_row + r) / group;
            float* row = rows.scores + r * rows.stride;
            const Visible visible = find_visible(page, position);
            if (visible.begin >= visible.end) {
                std::fill(row, row + rows.stride, 0.0f);
                continue;
            }
            std::fill(row, row + visible.begin, 0.0f);
            std::fill(row + visible.end, row + rows.stride, 0.0f);
            if (!bias(row, visible, page, position, r % group)) {
                std::fill(row + visible.begin, row + visible.end, 0.0f);
                continue;
            }
            visit(Seen{rows.first_row + r, 1, row, rows.stride, visible.begin, visible.end});
        }
        return rows;
    }

private:
    /// Slots [begin, end) of a page.
    struct Visible {
        int64_t begin;
        int64_t end;
    };
    [[nodiscard]] Visible find_visible(const PageView& page, int64_t position) const {
        if (page.positions != nullptr) return {0, page.num_tokens};
        const PositionRange seen = segment_.seen(position);
        return {std::max<int64_t>(0, seen.begin - page.first_position),
                std::min(page.num_tokens, seen.end - page.first_position)};
    }

    /// Whether queries at positions from `first` to `last` see all tokens of the page, unbiased:
    /// what most pages of a long cache are like.
    [[nodiscard]] bool all_see_all(const PageView& page, int64_t first, int64_t last) const {
        if (page.positions != nullptr || block_.task->alibi_slopes != nullptr) return false;
        const Visible early = find_visible(page, first);
        const Visible late = find_visible(page, last);
        return early.begin <= 0 && late.begin <= 0 && early.end == page.num_tokens;
    }

    /// Of `count` slots, those without a token at any position.
    SlotPositions slot_positions(const PageView& page, int64_t count) {
        SlotPositions at{.origin = page.origin, .first = page.first_position};
        if (page.positions == nullptr) return at;
        positions_.resize(static_cast<size_t>(count));
        std::copy_n(page.positions, page.num_tokens, positions_.begin());
        std::fill(positions_.begin() + page.num_tokens, positions_.end(), 0);
        at.each = positions_.data();
        return at;
    }

    /// Caps a row's scores, adds what its head and the distances give, and takes out tokens in any
    /// order that the query does not see. Whether it sees one at all.
    bool bias(float* row, Visible visible, const PageView& page, int64_t position,
              int64_t group_head) const {
        float* first = row + visible.begin;
        const int64_t n = visible.end - visible.begin;
        if (softcap_ > 0) kernels().softcap(first, n, softcap_);
        const float slope =
            block_.task->alibi_slopes == nullptr ? 0.0f : block_.task->alibi_slopes[group_head];
        if (page.positions == nullptr) {
            if (slope == 0) return true;
            const int64_t own = position - segment_.cache->query_shift(segment_.index, position) -
                                page.first_position;
            kernels().add_ramp(first, n, slope * static_cast<float>(visible.begin - own), slope);
            return true;
        }
        bool any = false;
        const PositionRange range = segment_.seen(position);
        for (int64_t i = 0; i < n; ++i) {
            const int64_t distance = position - page.positions[i];
            const bool seen = page.positions[i] >= range.begin && page.positions[i] < range.end;
            row[i] = seen ? row[i] - slope * static_cast<float>(distance)
                          : -std::numeric_limits<float>::infinity();
            any = any || seen;
        }
        return any;
    }

    const QueryBlock& block_;
    const SegmentView segment_;
    const std::byte* prepared_;
    float softcap_;
    Scratch& scratch_;
    std::vector<int32_t> positions_;  // of the page's slots, in any order
};

}  // namespace lowkey
