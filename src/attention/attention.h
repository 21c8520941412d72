#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kvcache/sequence_cache.h"

namespace lowkey {

/// Asks for the attention that each token of a task's caches gets from the queries of tokens from
/// `first_query` on, summed over them and the group, added to sums[i]; i counts the tokens in the
/// order of segment_pages() over all segments of all caches.
struct AttentionObserver {
    double* sums = nullptr;
    int64_t first_query = 0;
};

/// The queries of one KV head of one sequence at one layer, and what they attend to.
struct AttentionTask {
    /// Caches of the head with disjoint tokens: the sequence's own, and while a prompt is attended
    /// to exactly, its uncompressed keys and values. A query sees the tokens at its own and earlier
    /// positions, as far as the window of their segment reaches, and the compensation token that
    /// the cache has settled for it.
    std::vector<const HeadCache*> caches = {};
    /// Queries after rotation: token t, query head g of the group at q + t · q_stride + g · q_dim.
    const float* q = nullptr;
    int64_t q_stride = 0;
    int64_t q_dim = 0;
    /// Results, laid out alike with `out_stride` and `out_dim`.
    float* out = nullptr;
    int64_t out_stride = 0;
    int64_t out_dim = 0;
    int64_t group_size = 1;
    int64_t num_tokens = 0;
    int64_t first_position = 0;  ///< of token 0
    /// How queries are rotated, for segments that they see from another position; may be null.
    const RotaryTable* rotary = nullptr;
    std::vector<AttentionObserver> observers = {};
    /// ALiBi: a score of query head g of the group falls by alibi_slopes[g] per position of
    /// distance. [group_size], or null.
    const float* alibi_slopes = nullptr;
};

/// How queries and keys become scores: softmax_scale · q · k, capped, then biased.
struct ScoreOptions {
    float softmax_scale = 1;
    float softcap = 0;  ///< scores become softcap · tanh(score / softcap); 0: not
};

/// Memory that attend() reuses from call to call. Not thread-safe.
class AttentionBuffers {
public:
    AttentionBuffers();
    ~AttentionBuffers();

private:
    friend class AttentionPass;
    friend void attend(std::span<const AttentionTask> tasks, const ScoreOptions& options,
                       AttentionBuffers& buffers);
    struct Memory;
    std::unique_ptr<Memory> memory_;
};

/// softmax(scores) v for all tasks, causal by position, in blocks with online softmax: no
/// row of scores is ever stored whole. Prefill and decode are the same loop: a page's scores for a
/// block of query rows, which share each load of a key. Long caches are split over threads and
/// merged by log-sum-exp. Where attention received is asked for, scores are computed a second time,
/// since weights are known only then. A task's result depends on that task alone: not on the number
/// of threads, nor on the other tasks. Every query must see at least one token.
void attend(std::span<const AttentionTask> tasks, const ScoreOptions& options,
            AttentionBuffers& buffers);
/// The same with buffers of its own.
void attend(std::span<const AttentionTask> tasks, const ScoreOptions& options);

}  // namespace lowkey
