#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kvcache/sequence_cache.h"

namespace lowkey {

/// The uncompressed keys and values of one layer's tokens of one prompt, which attends to them
/// before they are written to its cache. Held for one layer at a time: as pages for attention, and
/// in f32 as the codecs want them, [tokens, sizes of all KV heads] each.
class ExactPrompt {
public:
    /// A prompt of `num_tokens` tokens after those that `cache` holds.
    ExactPrompt(SequenceCache& cache, int64_t layer, int64_t num_tokens);

    /// Adds the next tokens of all heads; rows hold the heads side by side.
    void append(const TokenRows& rows);

    [[nodiscard]] const HeadCache& head(int64_t kv_head) const { return pages_.head(0, kv_head); }
    /// Attention that the prompt's tokens have got so far [num_tokens], and the tokens that the
    /// sequence held before, in the order of their segments' pages.
    [[nodiscard]] std::vector<double>& arriving(int64_t kv_head) {
        return arriving_[static_cast<size_t>(kv_head)];
    }
    [[nodiscard]] std::vector<double>& cached(int64_t kv_head) {
        return cached_[static_cast<size_t>(kv_head)];
    }

    /// Writes all tokens to the layer's heads of the cache, which forget what no query after the
    /// prompt sees. Throws BudgetError when the pool is full.
    void write();

private:
    static std::shared_ptr<const CacheLayout> make_layout(CacheShape shape, int64_t layer);
    /// All tokens of one head.
    [[nodiscard]] TokenRows rows(size_t kv_head) const;

    SequenceCache& cache_;
    int64_t layer_;
    int64_t num_tokens_;
    std::shared_ptr<const CacheLayout> layout_;
    PagePool pool_;
    SequenceCache pages_;
    std::vector<int64_t> k_at_;  // where each head's vectors start in a row
    std::vector<int64_t> v_at_;
    int64_t k_size_ = 0;
    int64_t v_size_ = 0;
    bool needs_before_ = false;  // some codec takes keys before rotation
    std::vector<float> k_before_;
    std::vector<float> k_after_;
    std::vector<float> v_;
    std::vector<std::vector<double>> arriving_;
    std::vector<std::vector<double>> cached_;
};

}  // namespace lowkey
