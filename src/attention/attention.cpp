#include "attention/attention.h"

#include <algorithm>
#include <cmath>
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
enum Slot : size_t { kPrepared = 2, kScores, kQueries, kSegmentState, kBlockState };

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

/// One page against the rows of a block whose queries are prepared.
class PageAttention {
public:
    PageAttention(const Block& block, const SegmentLayout& segment, const float* prepared,
                  float softcap, Scratch& scratch)
        : block_(block),
          segment_(segment),
          prepared_(prepared),
          softcap_(softcap),
          scratch_(scratch) {}

    void add(const PageView& page, const AttentionState& state) {
        const int64_t group = block_.task->group_size;
        const int64_t first_position = block_.task->first_position + block_.begin;  // of row 0
        // Tokens before the first stand before the page, tokens from the last on have it behind
        // their window: neither sees any of it.
        const int64_t first_token = std::max<int64_t>(0, page.first_position - first_position);
        int64_t last_token = block_.end - block_.begin;
        if (segment_.window > 0) {
            const int64_t reach = page.first_position + page.num_tokens - 1 + segment_.window;
            last_token = std::min(last_token, reach - first_position);
        }
        const int64_t rows = (last_token - first_token) * group;
        if (rows <= 0) return;
        const int64_t first_row = first_token * group;
        const int64_t num_tiles = (page.num_tokens + kTileTokens - 1) / kTileTokens;
        const int64_t stride = num_tiles * kTileTokens;
        positions_.resize(static_cast<size_t>(stride));
        std::iota(positions_.begin(), positions_.end(), static_cast<int32_t>(page.first_position));

        float* scores = scratch_.floats(kScores, rows * stride);
        segment_.key->score(prepared_ + first_row * segment_.key->query_dim(), rows, page.keys,
                            num_tiles, positions_.data(), scores, stride, scratch_);
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t position = first_position + (first_row + r) / group;
            float* row = scores + r * stride;
            const Visible visible = find_visible(page, position);
            std::fill(row, row + visible.begin, 0.0f);
            std::fill(row + visible.end, row + stride, 0.0f);
            bias(row, visible, position - page.first_position, r % group);
            add_row(row + visible.begin, visible.end - visible.begin, first_row + r, state);
        }
        segment_.value->accumulate(scores, stride, rows, page.values, num_tiles,
                                   state.acc.data() + first_row * state.dim);
    }

private:
    /// Slots [begin, end) of a page, never empty.
    struct Visible {
        int64_t begin;
        int64_t end;
    };
    [[nodiscard]] Visible find_visible(const PageView& page, int64_t position) const {
        const int64_t own = position - page.first_position;
        const int64_t begin =
            segment_.window > 0 ? std::max<int64_t>(0, own - segment_.window + 1) : 0;
        return {begin, std::min(page.num_tokens, own + 1)};
    }

    /// Caps a row's scores and adds what its head and the distance to slot `own` give.
    void bias(float* row, Visible visible, int64_t own, int64_t group_head) const {
        float* first = row + visible.begin;
        const int64_t n = visible.end - visible.begin;
        if (softcap_ > 0) kernels().softcap(first, n, softcap_);
        if (block_.task->alibi_slopes != nullptr) {
            const float slope = block_.task->alibi_slopes[group_head];
            kernels().add_ramp(first, n, slope * static_cast<float>(visible.begin - own), slope);
        }
    }

    /// n scores become weights relative to the row's running maximum.
    static void add_row(float* scores, int64_t n, int64_t row, const AttentionState& state) {
        const auto at = static_cast<size_t>(row);
        const float top = std::max(state.max[at], kernels().max(scores, n));
        if (top > state.max[at]) {
            const float factor = state.sum[at] == 0 ? 0 : std::exp(state.max[at] - top);
            state.sum[at] *= factor;
            kernels().scale(state.acc.data() + row * state.dim, state.dim, factor);
            state.max[at] = top;
        }
        state.sum[at] += kernels().exp_sum(scores, n, top);
    }

    const Block& block_;
    const SegmentLayout& segment_;
    const float* prepared_;
    float softcap_;
    Scratch& scratch_;
    std::vector<int32_t> positions_;
};

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

/// The block's state over its range of pages: each segment in its codec's space, then merged in the
/// values' space.
void attend_block(const Block& block, const ScoreOptions& options, const AttentionState& state,
                  Scratch& scratch) {
    state.clear();
    const float* q = gather_queries(block, options.softmax_scale, scratch);
    const int64_t rows = block.rows();
    const int64_t last_position = block.task->first_position + block.end - 1;
    std::vector<PageView> pages;
    int64_t page_index = 0;
    for (const HeadCache* cache : block.task->caches) {
        for (int64_t s = 0; s < cache->num_segments(); ++s) {
            const SegmentLayout& segment = cache->segment(s);
            cache->segment_pages(s, pages);
            const int64_t first = std::max<int64_t>(0, block.pages.begin - page_index);
            const int64_t last =
                std::min<int64_t>(static_cast<int64_t>(pages.size()), block.pages.end - page_index);
            page_index += static_cast<int64_t>(pages.size());
            if (first >= last || pages[static_cast<size_t>(first)].first_position > last_position)
                continue;

            float* prepared = scratch.floats(kPrepared, rows * segment.key->query_dim());
            segment.key->prepare_queries(q, rows, prepared);
            const int64_t sum_dim = segment.value->sum_dim();
            float* memory =
                scratch.floats(kSegmentState, state_floats(rows, sum_dim) + rows * state.dim);
            const AttentionState part = make_state(memory, rows, sum_dim);
            part.clear();
            PageAttention attention(block, segment, prepared, options.softcap, scratch);
            for (int64_t p = first; p < last; ++p)
                attention.add(pages[static_cast<size_t>(p)], part);

            const AttentionState finished{
                part.max,
                part.sum,
                {memory + state_floats(rows, sum_dim), static_cast<size_t>(rows * state.dim)},
                state.dim};
            std::fill(finished.acc.begin(), finished.acc.end(), 0.0f);
            segment.value->finish(part.acc.data(), rows, finished.acc.data());
            state.merge(finished);
        }
    }
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
    if (parts.size() == blocks.size()) {
        parallel_for_dynamic(num_blocks, [&](int64_t i, int thread) {
            // Late blocks see the most tokens: they go first, so that none is left over at the end.
            const Block& block = blocks[static_cast<size_t>(num_blocks - 1 - i)];
            Scratch& mine = scratch[static_cast<size_t>(thread)];
            const int64_t dim = block.task->out_dim;
            const AttentionState state = make_state(
                mine.floats(kBlockState, state_floats(block.rows(), dim)), block.rows(), dim);
            attend_block(block, options, state, mine);
            write_out(block, state);
        });
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
        write_out(parts[first], states[first]);
    });
}

}  // namespace lowkey
