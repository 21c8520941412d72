#include "attention/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "attention/attention_state.h"
#include "base/error.h"
#include "base/parallel.h"
#include "kernels/kernels.h"

namespace lowkey {
namespace {

// Query rows of one block: enough to share what a page costs (unpacking, rebuilding keys), few
// enough that their scores of one page stay in the L2 cache.
constexpr int64_t kBlockRows = 128;
// Pages below which splitting a cache over threads costs more than it gains.
constexpr int64_t kMinSplitPages = 4;

/// Scratch slots of this file; codecs use 0 and 1.
enum Slot : size_t { kPrepared = 2, kScores, kQueries, kMovedQueries, kSegmentState, kBlockState };

/// Pages [begin, end) counted over all segments of all caches of a task.
struct PageRange {
    int64_t begin = 0;
    int64_t end = 0;
};

/// Tokens [begin, end) of a task against a range of its pages.
struct Block {
    const AttentionTask* task;
    int64_t begin;
    int64_t end;
    PageRange pages;
    [[nodiscard]] int64_t rows() const { return (end - begin) * task->group_size; }
};

AttentionState make_state(float* memory, int64_t rows, int64_t dim) {
    const auto n = static_cast<size_t>(rows);
    return {
        {memory, n}, {memory + rows, n}, {memory + 2 * rows, n * static_cast<size_t>(dim)}, dim};
}
int64_t state_floats(int64_t rows, int64_t dim) { return rows * (dim + 2); }

/// What is the same for all pages of one segment of a task.
struct SegmentView {
    const AttentionTask* task;
    const HeadCache* cache;
    int64_t index;  ///< of the segment
    [[nodiscard]] const SegmentLayout& layout() const { return cache->segment(index); }
    [[nodiscard]] int64_t window() const { return cache->segment_window(index); }
};

/// Scores of one page for the rows of a block, whose queries are prepared.
class PageScores {
public:
    PageScores(const Block& block, const SegmentView& segment, const float* prepared, float softcap,
               Scratch& scratch)
        : block_(block),
          segment_(segment),
          window_(segment.window()),
          first_seen_(segment.cache->first_seen(segment.index)),
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
    Rows compute(const PageView& page, Visit visit) {
        const AttentionTask& task = *block_.task;
        const int64_t group = task.group_size;
        const int64_t first_position = task.first_position + block_.begin;  // of row 0
        // Tokens before the first stand before the page, tokens from the last on have it behind
        // their window: neither sees any of it.
        int64_t first_token = 0;
        int64_t last_token = block_.end - block_.begin;
        if (page.positions == nullptr) {
            first_token = std::max<int64_t>(0, page.first_position - first_position);
            if (window_ > 0) {
                const int64_t reach = page.first_position + page.num_tokens - 1 + window_;
                last_token = std::min(last_token, reach - first_position);
            }
        }
        Rows rows;
        rows.num_rows = (last_token - first_token) * group;
        if (rows.num_rows <= 0) return {};
        rows.first_row = first_token * group;
        rows.num_tiles = (page.num_tokens + kTileTokens - 1) / kTileTokens;
        rows.stride = rows.num_tiles * kTileTokens;
        fill_positions(page, rows.stride);

        const KeyCodec& key = *segment_.layout().key;
        rows.scores = scratch_.floats(kScores, rows.num_rows * rows.stride);
        key.score(prepared_ + rows.first_row * key.query_dim(), rows.num_rows, page.keys,
                  rows.num_tiles, positions_.data(), rows.scores, rows.stride, scratch_);
        if (all_see_all(page, first_position + first_token, first_position + last_token - 1)) {
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
        const int64_t own = position - page.first_position;
        const int64_t own_first = window_ > 0 ? own - window_ + 1 : 0;
        const int64_t begin = std::max({int64_t{0}, own_first, first_seen_ - page.first_position});
        return {begin, std::min(page.num_tokens, own + 1)};
    }

    /// Whether queries at positions from `first` to `last` see all tokens of the page, unbiased:
    /// what most pages of a long cache are like.
    [[nodiscard]] bool all_see_all(const PageView& page, int64_t first, int64_t last) const {
        if (page.positions != nullptr || block_.task->alibi_slopes != nullptr) return false;
        const Visible early = find_visible(page, first);
        const Visible late = find_visible(page, last);
        return early.begin <= 0 && late.begin <= 0 && early.end == page.num_tokens;
    }

    void fill_positions(const PageView& page, int64_t count) {
        positions_.resize(static_cast<size_t>(count));
        if (page.positions == nullptr) {
            std::iota(positions_.begin(), positions_.end(),
                      static_cast<int32_t>(page.first_position));
            return;
        }
        std::copy_n(page.positions, page.num_tokens, positions_.begin());
        std::fill(positions_.begin() + page.num_tokens, positions_.end(), 0);
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
        for (int64_t i = 0; i < n; ++i) {
            const int64_t distance = position - page.positions[i];
            const bool seen = distance >= 0 && (window_ == 0 || distance < window_);
            row[i] = seen ? row[i] - slope * static_cast<float>(distance)
                          : -std::numeric_limits<float>::infinity();
            any = any || seen;
        }
        return any;
    }

    const Block& block_;
    const SegmentView segment_;
    int64_t window_;
    int64_t first_seen_;
    const float* prepared_;
    float softcap_;
    Scratch& scratch_;
    std::vector<int32_t> positions_;
};

/// A row's n scores become weights relative to its running maximum, which may rise.
void add_scores(float* scores, int64_t n, int64_t row, const AttentionState& state) {
    const auto at = static_cast<size_t>(row);
    kernels().online_softmax(scores, n, 1, n, &state.max[at], &state.sum[at],
                             state.acc.data() + row * state.dim, state.dim);
}

/// Query rows of a block side by side [rows, q_dim], scaled.
const float* gather_queries(const Block& block, float scale, Scratch& scratch) {
    const AttentionTask& task = *block.task;
    float* q = scratch.floats(kQueries, block.rows() * task.q_dim);
    const int64_t width = task.group_size * task.q_dim;
    for (int64_t t = block.begin; t < block.end; ++t) {
        const float* from = task.q + t * task.q_stride;
        float* to = q + (t - block.begin) * width;
        for (int64_t i = 0; i < width; ++i) to[i] = from[i] * scale;
    }
    return q;
}

/// A block's queries [rows, q_dim] as the tokens of a segment see them, in its codec's space.
const float* prepare_queries(const Block& block, const SegmentView& segment, const float* q,
                             Scratch& scratch) {
    const AttentionTask& task = *block.task;
    const int64_t rows = block.rows();
    float* moved = nullptr;
    for (int64_t t = block.begin; t < block.end; ++t) {
        const int64_t shift = segment.cache->query_shift(segment.index, task.first_position + t);
        if (shift == 0 || task.rotary == nullptr) continue;
        if (moved == nullptr) {
            moved = scratch.floats(kMovedQueries, rows * task.q_dim);
            std::copy_n(q, rows * task.q_dim, moved);
        }
        for (int64_t g = 0; g < task.group_size; ++g) {
            float* row = moved + ((t - block.begin) * task.group_size + g) * task.q_dim;
            task.rotary->rotate_back(row, shift);
            // Tables scale what they rotate, which has happened already.
            if (task.rotary->config().attention_factor != 1) {
                kernels().scale(row, task.q_dim,
                                1 / static_cast<float>(task.rotary->config().attention_factor));
            }
        }
    }
    const KeyCodec& key = *segment.layout().key;
    float* prepared = scratch.floats(kPrepared, rows * key.query_dim());
    key.prepare_queries(moved == nullptr ? q : moved, rows, prepared);
    return prepared;
}

/// The tokens that stand for those which a cache's windows have left.
void add_compensation(const Block& block, const HeadCache& cache, const float* q, float softcap,
                      const AttentionState& state) {
    const AttentionTask& task = *block.task;
    if (!cache.layout().compensates()) return;
    for (int64_t row = 0; row < block.rows(); ++row) {
        const int64_t position = task.first_position + block.begin + row / task.group_size;
        const CompensationToken token = cache.compensation(position - cache.first_position());
        if (token.num_tokens == 0) continue;
        const float* query = q + row * task.q_dim;
        float score = 0;
        for (int64_t i = 0; i < task.q_dim; ++i) score += query[i] * token.key[i];
        if (softcap > 0) kernels().softcap(&score, 1, softcap);
        if (task.alibi_slopes != nullptr) {
            score -= task.alibi_slopes[row % task.group_size] *
                     static_cast<float>(static_cast<double>(position) - token.position);
        }
        score += std::log(static_cast<float>(token.num_tokens));
        add_scores(&score, 1, row, state);
        float* acc = state.acc.data() + row * state.dim;
        for (int64_t i = 0; i < state.dim; ++i) acc[i] += score * token.value[i];
    }
}

/// The block's state over its range of pages: each segment in its codec's space, then merged in the
/// values' space. Compensation tokens go with the first pages.
void attend_block(const Block& block, const ScoreOptions& options, const AttentionState& state,
                  Scratch& scratch) {
    state.clear();
    const float* q = gather_queries(block, options.softmax_scale, scratch);
    const int64_t rows = block.rows();
    const int64_t last_position = block.task->first_position + block.end - 1;
    std::vector<PageView> pages;
    int64_t page_index = 0;
    for (const HeadCache* cache : block.task->caches) {
        if (block.pages.begin == 0) add_compensation(block, *cache, q, options.softcap, state);
        for (int64_t s = 0; s < cache->num_segments(); ++s) {
            const SegmentView segment{block.task, cache, s};
            cache->segment_pages(s, pages);
            const int64_t first = std::max<int64_t>(0, block.pages.begin - page_index);
            const int64_t last =
                std::min<int64_t>(static_cast<int64_t>(pages.size()), block.pages.end - page_index);
            page_index += static_cast<int64_t>(pages.size());
            if (first >= last) continue;
            const PageView& first_page = pages[static_cast<size_t>(first)];
            if (first_page.positions == nullptr && first_page.first_position > last_position)
                continue;

            const ValueCodec& value = *segment.layout().value;
            const int64_t sum_dim = value.sum_dim();
            float* memory =
                scratch.floats(kSegmentState, state_floats(rows, sum_dim) + rows * state.dim);
            const AttentionState part = make_state(memory, rows, sum_dim);
            part.clear();
            PageScores scores(block, segment, prepare_queries(block, segment, q, scratch),
                              options.softcap, scratch);
            for (int64_t p = first; p < last; ++p) {
                const PageView& page = pages[static_cast<size_t>(p)];
                const auto done = scores.compute(page, [&](const PageScores::Seen& seen) {
                    const auto row = static_cast<size_t>(seen.first_row);
                    kernels().online_softmax(seen.scores + seen.begin, seen.stride, seen.num_rows,
                                             seen.end - seen.begin, &part.max[row], &part.sum[row],
                                             part.acc.data() + seen.first_row * sum_dim, sum_dim);
                });
                if (done.num_rows == 0) continue;
                value.accumulate(done.scores, done.stride, done.num_rows, page.values,
                                 done.num_tiles, part.acc.data() + done.first_row * sum_dim);
            }

            const AttentionState finished{
                part.max,
                part.sum,
                {memory + state_floats(rows, sum_dim), static_cast<size_t>(rows * state.dim)},
                state.dim};
            std::fill(finished.acc.begin(), finished.acc.end(), 0.0f);
            value.finish(part.acc.data(), rows, finished.acc.data());
            state.merge(finished);
        }
    }
}

/// What softmax weights follow from: the largest score and the sum of each row, [tokens,
/// group_size].
struct RowStats {
    std::vector<float> max;
    std::vector<float> sum;
    void resize(const AttentionTask& task) {
        const auto rows = static_cast<size_t>(task.num_tokens * task.group_size);
        max.resize(rows);
        sum.resize(rows);
    }
    void keep(const Block& block, const AttentionState& state) {
        const int64_t first = block.begin * block.task->group_size;
        std::copy_n(state.max.begin(), block.rows(), max.begin() + first);
        std::copy_n(state.sum.begin(), block.rows(), sum.begin() + first);
    }
};

/// A page of a task whose tokens' attention is asked for.
struct ObservedPage {
    SegmentView segment;
    PageView page;
    AttentionObserver observer;  ///< its sums from this page on
};

/// Adds up the weights of a page's tokens over all observed rows, in their order.
void observe_page(const ObservedPage& observed, const RowStats& stats, const ScoreOptions& options,
                  Scratch& scratch) {
    const AttentionTask& task = *observed.segment.task;
    const int64_t block_tokens = std::max<int64_t>(1, kBlockRows / task.group_size);
    for (int64_t t = observed.observer.first_query; t < task.num_tokens; t += block_tokens) {
        const Block block{&task, t, std::min(task.num_tokens, t + block_tokens), {0, 0}};
        const float* q = gather_queries(block, options.softmax_scale, scratch);
        PageScores scores(block, observed.segment,
                          prepare_queries(block, observed.segment, q, scratch), options.softcap,
                          scratch);
        const int64_t first_row = block.begin * task.group_size;
        scores.compute(observed.page, [&](const PageScores::Seen& seen) {
            for (int64_t r = 0; r < seen.num_rows; ++r) {
                float* x = seen.scores + r * seen.stride;
                const auto at = static_cast<size_t>(first_row + seen.first_row + r);
                kernels().exp_sum(x + seen.begin, seen.end - seen.begin, stats.max[at]);
                const float inverse = 1 / stats.sum[at];
                for (int64_t i = seen.begin; i < seen.end; ++i)
                    observed.observer.sums[i] += static_cast<double>(x[i] * inverse);
            }
        });
    }
}

void observe(std::span<const AttentionTask> tasks, const std::vector<RowStats>& stats,
             const ScoreOptions& options, std::vector<Scratch>& scratch) {
    std::vector<ObservedPage> observed;
    std::vector<size_t> task_of;
    std::vector<PageView> pages;
    for (size_t i = 0; i < tasks.size(); ++i) {
        if (tasks[i].observers.empty()) continue;
        int64_t before = 0;  // tokens of the pages so far
        for (const HeadCache* cache : tasks[i].caches) {
            for (int64_t s = 0; s < cache->num_segments(); ++s) {
                cache->segment_pages(s, pages);
                for (const PageView& page : pages) {
                    for (AttentionObserver observer : tasks[i].observers) {
                        observer.sums += before;
                        observed.push_back({{&tasks[i], cache, s}, page, observer});
                        task_of.push_back(i);
                    }
                    before += page.num_tokens;
                }
            }
        }
    }
    // A page's sums belong to one thread, so that they come out the same every time.
    parallel_for_dynamic(static_cast<int64_t>(observed.size()), [&](int64_t i, int thread) {
        const auto at = static_cast<size_t>(i);
        observe_page(observed[at], stats[task_of[at]], options,
                     scratch[static_cast<size_t>(thread)]);
    });
}

void write_out(const Block& block, const AttentionState& state) {
    const AttentionTask& task = *block.task;
    for (int64_t row = 0; row < block.rows(); ++row) {
        state.normalize_row(row, task.out +
                                     (block.begin + row / task.group_size) * task.out_stride +
                                     row % task.group_size * task.out_dim);
    }
}

int64_t count_pages(const AttentionTask& task) {
    int64_t count = 0;
    std::vector<PageView> pages;
    for (const HeadCache* cache : task.caches) {
        for (int64_t s = 0; s < cache->num_segments(); ++s) {
            cache->segment_pages(s, pages);
            count += static_cast<int64_t>(pages.size());
        }
    }
    return count;
}

}  // namespace

void attend(std::span<const AttentionTask> tasks, const ScoreOptions& options) {
    std::vector<Block> blocks;
    for (const AttentionTask& task : tasks) {
        const int64_t block_tokens = std::max<int64_t>(1, kBlockRows / task.group_size);
        const int64_t num_pages = count_pages(task);
        for (int64_t t = 0; t < task.num_tokens; t += block_tokens) {
            blocks.push_back(
                {&task, t, std::min(task.num_tokens, t + block_tokens), {0, num_pages}});
        }
    }
    if (blocks.empty()) return;
    // With fewer blocks than threads can share evenly, each block's pages are split as well.
    const int64_t wanted = 2 * num_threads();
    const auto num_blocks = static_cast<int64_t>(blocks.size());
    const int64_t splits =
        num_threads() > 1 && num_blocks < wanted ? (wanted + num_blocks - 1) / num_blocks : 1;

    std::vector<Block> parts;
    std::vector<int64_t> first_part;  // of each block
    for (const Block& block : blocks) {
        first_part.push_back(static_cast<int64_t>(parts.size()));
        const int64_t pages = block.pages.end;
        const int64_t count = std::clamp<int64_t>(pages / kMinSplitPages, 1, splits);
        for (int64_t i = 0; i < count; ++i) {
            parts.push_back(
                {block.task, block.begin, block.end, {pages * i / count, pages * (i + 1) / count}});
        }
    }
    first_part.push_back(static_cast<int64_t>(parts.size()));

    std::vector<Scratch> scratch(static_cast<size_t>(num_threads()));
    std::vector<RowStats> stats(tasks.size());
    for (size_t i = 0; i < tasks.size(); ++i) {
        if (!tasks[i].observers.empty()) stats[i].resize(tasks[i]);
    }
    const auto finish = [&](const Block& block, const AttentionState& state) {
        write_out(block, state);
        if (block.task->observers.empty()) return;
        stats[static_cast<size_t>(block.task - tasks.data())].keep(block, state);
    };
    if (parts.size() == blocks.size()) {
        parallel_for_dynamic(num_blocks, [&](int64_t i, int thread) {
            // Late blocks see the most tokens: they go first, so that none is left over at the end.
            const Block& block = blocks[static_cast<size_t>(num_blocks - 1 - i)];
            Scratch& mine = scratch[static_cast<size_t>(thread)];
            const int64_t dim = block.task->out_dim;
            const AttentionState state = make_state(
                mine.floats(kBlockState, state_floats(block.rows(), dim)), block.rows(), dim);
            attend_block(block, options, state, mine);
            finish(block, state);
        });
        observe(tasks, stats, options, scratch);
        return;
    }
    std::vector<std::vector<float>> memory(parts.size());
    std::vector<AttentionState> states(parts.size());
    parallel_for_dynamic(static_cast<int64_t>(parts.size()), [&](int64_t i, int thread) {
        const auto at = static_cast<size_t>(i);
        const Block& part = parts[at];
        memory[at].resize(static_cast<size_t>(state_floats(part.rows(), part.task->out_dim)));
        states[at] = make_state(memory[at].data(), part.rows(), part.task->out_dim);
        attend_block(part, options, states[at], scratch[static_cast<size_t>(thread)]);
    });
    parallel_for(num_blocks, [&](int64_t b) {
        const auto first = static_cast<size_t>(first_part[static_cast<size_t>(b)]);
        const auto end = static_cast<size_t>(first_part[static_cast<size_t>(b) + 1]);
        for (size_t i = first + 1; i < end; ++i) states[first].merge(states[i]);
        finish(parts[first], states[first]);
    });
    observe(tasks, stats, options, scratch);
}

}  // namespace lowkey
