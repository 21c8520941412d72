#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "attention/attention.h"
#include "kvcache/sequence_cache.h"
#include "tensor/tensor.h"

namespace lowkey {

/// The uncompressed keys and values of one layer's tokens of one prompt, which attends to them
/// before they are written to the caches that take it. Held for one layer at a time: as pages for
/// attention, and in f32 as the codecs want them, [tokens, sizes of all KV heads] each.
class ExactPrompt {
public:
    /// A prompt of `num_tokens` tokens. It joins one cache, after the tokens that are there, or
    /// several caches (of one model, under plans of their own) that hold none. Its memory is
    /// counted against the budget of each whose plan asks for it, as if it was there for that one
    /// alone, for as long as it lives: what a cache takes does not depend on its company. Throws
    /// BudgetError.
    ExactPrompt(std::vector<SequenceCache*> caches, int64_t layer, int64_t num_tokens);

    /// Bytes of its keys and values.
    [[nodiscard]] static int64_t bytes(std::span<const SequenceCache* const> caches, int64_t layer,
                                       int64_t num_tokens);

    /// Adds the next tokens of all heads; rows hold the heads side by side.
    void append(const TokenRows& rows);

    [[nodiscard]] const HeadCache& head(int64_t kv_head) const { return pages_.head(0, kv_head); }
    /// The caches whose policy asks what attention the queries of the prompt's tokens [first, first
    /// + count) pay to the first cache's tokens and to head(), in this order.
    [[nodiscard]] std::vector<AttentionObserver> observers(int64_t kv_head, int64_t first,
                                                           int64_t count);

    /// Writes all tokens to the layer's heads of the caches, which forget what no query after the
    /// prompt sees. Throws BudgetError when a pool is full.
    void write();

private:
    /// What one head of one cache wants to know before it chooses tokens.
    struct Received {
        int64_t num_cached = 0;    ///< tokens that the head holds already
        std::vector<double> sums;  ///< of those, then of the prompt's; empty: it does not select
    };

    /// Bytes counted against a sequence's pool.
    class Charge {
    public:
        Charge(SequenceCache& cache, int64_t bytes) : cache_(cache), bytes_(bytes) {
            cache.charge(bytes);
        }
        Charge(const Charge&) = delete;
        Charge& operator=(const Charge&) = delete;
        ~Charge() { cache_.discharge(bytes_); }

    private:
        SequenceCache& cache_;
        int64_t bytes_;
    };

    static std::shared_ptr<const CacheLayout> make_layout(CacheShape shape, int64_t layer);
    [[nodiscard]] HeadCache& target(size_t cache, size_t kv_head) const {
        return caches_[cache]->head(layer_, static_cast<int64_t>(kv_head));
    }
    [[nodiscard]] Received& received(size_t cache, size_t kv_head) {
        return received_[cache * k_at_.size() + kv_head];
    }
    /// All tokens of one head.
    [[nodiscard]] TokenRows rows(size_t kv_head) const;
    void write(size_t cache);

    std::vector<SequenceCache*> caches_;
    int64_t layer_;
    int64_t num_tokens_;
    int64_t num_appended_ = 0;
    std::deque<Charge> charges_;
    std::shared_ptr<const CacheLayout> layout_;
    PagePool pool_;
    SequenceCache pages_;
    std::vector<int64_t> k_at_;  // where each head's vectors start in a row
    std::vector<int64_t> v_at_;
    int64_t k_size_ = 0;
    int64_t v_size_ = 0;
    Tensor k_before_;  // [num_tokens, k_size]; none when no codec takes keys before rotation
    Tensor k_after_;   // [num_tokens, k_size]
    Tensor v_;         // [num_tokens, v_size]
    std::vector<Received> received_;  // [caches, heads]
};

}  // namespace lowkey
