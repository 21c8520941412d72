#include "attention/attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>

#include "attention/attention_state.h"
#include "attention/page_scores.h"
#include "attention/soon_reads.h"
#include "base/error.h"
#include "base/parallel.h"
#include "kernels/kernels.h"

namespace lowkey {
namespace {

// Query rows of one block: enough to share what a page costs (unpacking, rebuilding keys), few
// enough that their scores of one page stay in the L2 cache.
constexpr int64_t kBlockRows = 128;
// Pages of a part. Few rows have little else for threads to share than their pages, and reading 16
// of them takes far longer than merging a part; of many rows there are blocks enough, whose states
// take memory. The rule asks neither for the number of threads nor for who else is in the pass:
// results depend on neither.
constexpr int64_t kFewRows = 32;
constexpr int64_t kPartPagesOfFewRows = 16;
constexpr int64_t kPartPages = 64;

AttentionState make_state(float* memory, int64_t rows, int64_t dim) {
    const auto n = static_cast<size_t>(rows);
    return {
        {memory, n}, {memory + rows, n}, {memory + 2 * rows, n * static_cast<size_t>(dim)}, dim};
}
int64_t state_floats(int64_t rows, int64_t dim) { return rows * (dim + 2); }

/// A row's n scores become weights relative to its running maximum, which may rise.
void add_scores(float* scores, int64_t n, int64_t row, const AttentionState& state) {
    const auto at = static_cast<size_t>(row);
    kernels().online_softmax(scores, n, 1, n, &state.max[at], &state.sum[at],
                             state.acc.data() + row * state.dim, state.dim, {});
}

/// Query rows of a block side by side [rows, q_dim], scaled.
const float* gather_queries(const QueryBlock& block, float scale, Scratch& scratch) {
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
const std::byte* prepare_queries(const QueryBlock& block, const SegmentView& segment,
                                 const float* q, Scratch& scratch) {
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
    auto* prepared =
        reinterpret_cast<std::byte*>(scratch.floats(kPrepared, (rows * key.query_bytes() + 3) / 4));
    key.prepare_queries(moved == nullptr ? q : moved, rows, prepared);
    return prepared;
}

/// The tokens that stand for those which a cache's windows have left.
void add_compensation(const QueryBlock& block, const HeadCache& cache, const float* q,
                      float softcap, const AttentionState& state) {
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

/// The non-empty pages of one segment: [begin, end) of the list of all pages.
struct SegmentPages {
    SegmentView segment;
    int64_t begin;
    int64_t end;
};

/// A block's rows against pages [begin, end) of the list of all pages.
struct Part {
    QueryBlock block;
    int64_t block_index;
    std::span<const SegmentPages> segments;  ///< of its task
    int64_t begin;
    int64_t end;
    /// Whether this part takes the compensation tokens, which have no page.
    bool first;
    AttentionState state;  ///< of a block in several parts
};

/// The part's state: each segment in its codec's space, then merged in the values' space. `after`
/// is the page that the thread will probably read after the part's last one, or null.
void attend_part(const Part& part, std::span<const PageView> pages, const PageView* after,
                 const ScoreOptions& options, const AttentionState& state, Scratch& scratch) {
    const QueryBlock& block = part.block;
    state.clear();
    const float* q = gather_queries(block, options.softmax_scale, scratch);
    const int64_t rows = block.rows();
    const int64_t last_position = block.task->first_position + block.end - 1;
    for (const HeadCache* cache : block.task->caches) {
        if (part.first) add_compensation(block, *cache, q, options.softcap, state);
    }
    for (const auto& [segment, segment_begin, segment_end] : part.segments) {
        const int64_t begin = std::max(part.begin, segment_begin);
        const int64_t end = std::min(part.end, segment_end);
        if (begin >= end) continue;
        const auto run =
            pages.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
        if (run[0].positions == nullptr && run[0].first_position > last_position) continue;

        const ValueCodec& value = *segment.layout().value;
        const int64_t sum_dim = value.sum_dim();
        float* memory =
            scratch.floats(kSegmentState, state_floats(rows, sum_dim) + rows * state.dim);
        const AttentionState sums = make_state(memory, rows, sum_dim);
        sums.clear();
        PageScores scores(block, segment, prepare_queries(block, segment, q, scratch),
                          options.softcap, scratch);
        for (size_t p = 0; p < run.size(); ++p) {
            const PageView& page = run[p];
            const int64_t following = begin + static_cast<int64_t>(p) + 1;
            const PageView* next =
                following < part.end ? &pages[static_cast<size_t>(following)] : after;
            const SoonReads soon = next == nullptr ? SoonReads{} : share_out(*next, page, rows);
            const auto done = scores.compute(page, soon.scores, [&](const PageScores::Seen& seen) {
                const auto row = static_cast<size_t>(seen.first_row);
                kernels().online_softmax(seen.scores + seen.begin, seen.stride, seen.num_rows,
                                         seen.end - seen.begin, &sums.max[row], &sums.sum[row],
                                         sums.acc.data() + seen.first_row * sum_dim, sum_dim,
                                         soon.softmax);
            });
            if (done.num_rows == 0) continue;
            value.accumulate(done.scores, done.stride, done.num_rows,
                             {page.values, done.num_tiles, soon.sums},
                             sums.acc.data() + done.first_row * sum_dim);
        }

        const AttentionState finished{
            sums.max,
            sums.sum,
            {memory + state_floats(rows, sum_dim), static_cast<size_t>(rows * state.dim)},
            state.dim};
        std::fill(finished.acc.begin(), finished.acc.end(), 0.0f);
        value.finish(sums.acc.data(), sums.sum.data(), rows, finished.acc.data());
        state.merge(finished);
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
    void keep(const QueryBlock& block, const AttentionState& state) {
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
        const QueryBlock block{&task, t, std::min(task.num_tokens, t + block_tokens)};
        const float* q = gather_queries(block, options.softmax_scale, scratch);
        PageScores scores(block, observed.segment,
                          prepare_queries(block, observed.segment, q, scratch), options.softcap,
                          scratch);
        const int64_t first_row = block.begin * task.group_size;
        scores.compute(observed.page, {}, [&](const PageScores::Seen& seen) {
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

void write_out(const QueryBlock& block, const AttentionState& state) {
    const AttentionTask& task = *block.task;
    for (int64_t row = 0; row < block.rows(); ++row) {
        state.normalize_row(row, task.out +
                                     (block.begin + row / task.group_size) * task.out_stride +
                                     row % task.group_size * task.out_dim);
    }
}

}  // namespace

struct AttentionBuffers::Memory {
    std::vector<Scratch> threads;
    std::vector<PageView> pages;         // of all segments of all tasks
    std::vector<PageView> run;           // of one segment
    std::vector<SegmentPages> segments;  // of all tasks
    std::vector<int64_t> first_segment;  // of each task, and the end
    std::vector<Part> parts;
    std::vector<int64_t> first_part;  // of each block, and the end
    Scratch states;
    std::unique_ptr<std::atomic<int64_t>[]> parts_left;  // of each block
    int64_t max_blocks = 0;
    std::vector<RowStats> stats;
};

AttentionBuffers::AttentionBuffers() : memory_(std::make_unique<Memory>()) {}
AttentionBuffers::~AttentionBuffers() = default;

/// One call of attend().
class AttentionPass {
public:
    AttentionPass(std::span<const AttentionTask> tasks, const ScoreOptions& options,
                  AttentionBuffers::Memory& memory)
        : tasks_(tasks), options_(options), m_(memory) {}

    void run() {
        if (m_.threads.size() < static_cast<size_t>(num_threads()))
            m_.threads.resize(static_cast<size_t>(num_threads()));
        m_.stats.resize(tasks_.size());
        for (size_t i = 0; i < tasks_.size(); ++i) {
            if (!tasks_[i].observers.empty()) m_.stats[i].resize(tasks_[i]);
        }
        list_pages();
        make_parts();
        const auto num_parts = std::ssize(m_.parts);
        parallel_for_balanced(num_parts, [&](int64_t i, int thread) {
            // Late blocks see the most tokens: they go first, so that none is left over at the end.
            const auto at = static_cast<size_t>(num_parts - 1 - i);
            run_part(m_.parts[at], at > 0 ? first_page(m_.parts[at - 1]) : nullptr,
                     m_.threads[static_cast<size_t>(thread)]);
        });
        observe();
    }

private:
    void list_pages() {
        m_.pages.clear();
        m_.segments.clear();
        m_.first_segment.clear();
        for (const AttentionTask& task : tasks_) {
            m_.first_segment.push_back(std::ssize(m_.segments));
            for (const HeadCache* cache : task.caches) {
                for (int64_t s = 0; s < cache->num_segments(); ++s) {
                    cache->segment_pages(s, m_.run);
                    const int64_t begin = std::ssize(m_.pages);
                    m_.pages.insert(m_.pages.end(), m_.run.begin(), m_.run.end());
                    m_.segments.push_back({{&task, cache, s}, begin, std::ssize(m_.pages)});
                }
            }
        }
        m_.first_segment.push_back(std::ssize(m_.segments));
    }

    [[nodiscard]] std::span<const SegmentPages> segments_of(size_t task) const {
        const auto begin = static_cast<size_t>(m_.first_segment[task]);
        const auto end = static_cast<size_t>(m_.first_segment[task + 1]);
        return std::span(m_.segments).subspan(begin, end - begin);
    }

    /// Cuts the tasks into blocks of rows, and their pages into parts.
    void make_parts() {
        m_.parts.clear();
        m_.first_part.clear();
        int64_t state_size = 0;
        for_each_block([&](const QueryBlock& block, std::span<const SegmentPages> segments) {
            const int64_t first = segments.empty() ? 0 : segments.front().begin;
            const int64_t pages = pages_of(segments);
            const int64_t part_pages = block.rows() <= kFewRows ? kPartPagesOfFewRows : kPartPages;
            const int64_t count = std::max<int64_t>(1, (pages + part_pages / 2) / part_pages);
            const int64_t index = std::ssize(m_.first_part);
            m_.first_part.push_back(std::ssize(m_.parts));
            for (int64_t i = 0; i < count; ++i) {
                m_.parts.push_back({block,
                                    index,
                                    segments,
                                    first + pages * i / count,
                                    first + pages * (i + 1) / count,
                                    i == 0,
                                    {}});
            }
            if (count > 1) state_size += count * state_floats(block.rows(), block.task->out_dim);
        });
        m_.first_part.push_back(std::ssize(m_.parts));
        place_states(state_size);
    }

    template <typename Fn>
    void for_each_block(Fn fn) const {
        for (size_t i = 0; i < tasks_.size(); ++i) {
            const AttentionTask& task = tasks_[i];
            const int64_t step = std::max<int64_t>(1, kBlockRows / task.group_size);
            for (int64_t t = 0; t < task.num_tokens; t += step)
                fn(QueryBlock{&task, t, std::min(task.num_tokens, t + step)}, segments_of(i));
        }
    }

    static int64_t pages_of(std::span<const SegmentPages> segments) {
        return segments.empty() ? 0 : segments.back().end - segments.front().begin;
    }

    /// Gives each part of a block in several parts memory for its state.
    void place_states(int64_t size) {
        float* memory = size == 0 ? nullptr : m_.states.floats(0, size);
        const int64_t num_blocks = std::ssize(m_.first_part) - 1;
        if (m_.max_blocks < num_blocks) {
            m_.parts_left =
                std::make_unique<std::atomic<int64_t>[]>(static_cast<size_t>(num_blocks));
            m_.max_blocks = num_blocks;
        }
        for (int64_t b = 0; b < num_blocks; ++b) {
            const auto parts = parts_of(b);
            m_.parts_left[static_cast<size_t>(b)] = std::ssize(parts);
            if (parts.size() == 1) continue;
            for (Part& part : parts) {
                const int64_t rows = part.block.rows();
                part.state = make_state(memory, rows, part.block.task->out_dim);
                memory += state_floats(rows, part.block.task->out_dim);
            }
        }
    }

    [[nodiscard]] std::span<Part> parts_of(int64_t block) const {
        const auto begin = static_cast<size_t>(m_.first_part[static_cast<size_t>(block)]);
        const auto end = static_cast<size_t>(m_.first_part[static_cast<size_t>(block) + 1]);
        return std::span(m_.parts).subspan(begin, end - begin);
    }

    [[nodiscard]] const PageView* first_page(const Part& part) const {
        return part.begin < part.end ? &m_.pages[static_cast<size_t>(part.begin)] : nullptr;
    }

    void run_part(const Part& part, const PageView* after, Scratch& scratch) {
        const auto parts = parts_of(part.block_index);
        if (parts.size() == 1) {
            const int64_t rows = part.block.rows();
            const int64_t dim = part.block.task->out_dim;
            const AttentionState state =
                make_state(scratch.floats(kBlockState, state_floats(rows, dim)), rows, dim);
            attend_part(part, m_.pages, after, options_, state, scratch);
            finish(part.block, state);
            return;
        }
        attend_part(part, m_.pages, after, options_, part.state, scratch);
        // Whoever is last merges, always in the same order.
        if (--m_.parts_left[static_cast<size_t>(part.block_index)] > 0) return;
        for (const Part& other : parts.subspan(1)) parts[0].state.merge(other.state);
        finish(part.block, parts[0].state);
    }

    void finish(const QueryBlock& block, const AttentionState& state) {
        write_out(block, state);
        if (block.task->observers.empty()) return;
        m_.stats[static_cast<size_t>(block.task - tasks_.data())].keep(block, state);
    }

    void observe() {
        std::vector<ObservedPage> observed;
        std::vector<size_t> task_of;
        for (size_t i = 0; i < tasks_.size(); ++i) {
            int64_t before = 0;  // tokens of the pages so far
            for (const SegmentPages& segment : segments_of(i)) {
                if (tasks_[i].observers.empty()) break;
                for (int64_t p = segment.begin; p < segment.end; ++p) {
                    const PageView& page = m_.pages[static_cast<size_t>(p)];
                    for (AttentionObserver observer : tasks_[i].observers) {
                        observer.sums += before;
                        observed.push_back({segment.segment, page, observer});
                        task_of.push_back(i);
                    }
                    before += page.num_tokens;
                }
            }
        }
        if (observed.empty()) return;
        // A page's sums belong to one thread, so that they come out the same every time.
        parallel_for_dynamic(std::ssize(observed), [&](int64_t i, int thread) {
            const auto at = static_cast<size_t>(i);
            observe_page(observed[at], m_.stats[task_of[at]], options_,
                         m_.threads[static_cast<size_t>(thread)]);
        });
    }

    std::span<const AttentionTask> tasks_;
    const ScoreOptions& options_;
    AttentionBuffers::Memory& m_;
};

void attend(std::span<const AttentionTask> tasks, const ScoreOptions& options,
            AttentionBuffers& buffers) {
    AttentionPass(tasks, options, *buffers.memory_).run();
}

void attend(std::span<const AttentionTask> tasks, const ScoreOptions& options) {
    AttentionBuffers buffers;
    attend(tasks, options, buffers);
}

}  // namespace lowkey
