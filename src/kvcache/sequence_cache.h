#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kvcache/cache_layout.h"
#include "kvcache/head_cache.h"
#include "kvcache/page_pool.h"

namespace lowkey {

/// How a sequence is to grow.
struct Growth {
    int64_t num_tokens = 0;   ///< that it will have
    int64_t prompt_end = 0;   ///< those before this one come as prompts; 0: none of the new ones
    int64_t pass_tokens = 1;  ///< most tokens of a pass
    /// Most tokens that a head holds at a time beyond its window: those of a pass, or 1 where a
    /// prompt is written only when it has been attended to.
    int64_t step = 1;
    int64_t other_bytes = 0;  ///< that hold keys and values beside the pages, during prompts

    /// Whether room for this is room for `other`, too.
    [[nodiscard]] bool covers(const Growth& other) const;
};

class SequenceCache;

/// Room in a pool that one sequence was promised, as long as this lives: nobody else gets it. The
/// sequence must outlive it.
class Reservation {
public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept;
    Reservation& operator=(Reservation&& other) noexcept;
    ~Reservation();

private:
    friend class SequenceCache;
    explicit Reservation(SequenceCache* sequence) : sequence_(sequence) {}
    SequenceCache* sequence_ = nullptr;
};

/// The KV cache of one sequence: pages owned by (sequence, layer, KV head).
class SequenceCache {
public:
    SequenceCache(std::shared_ptr<const CacheLayout> layout, PagePool& pool,
                  int64_t first_position = 0);
    SequenceCache(SequenceCache&&) noexcept = default;
    SequenceCache& operator=(SequenceCache&&) noexcept = delete;
    SequenceCache(const SequenceCache&) = delete;
    SequenceCache& operator=(const SequenceCache&) = delete;
    ~SequenceCache();

    [[nodiscard]] const CacheLayout& layout() const { return *layout_; }
    [[nodiscard]] PagePool& pool() const { return *pool_; }
    /// Tokens that every layer holds.
    [[nodiscard]] int64_t num_tokens() const { return num_tokens_; }
    /// Called by the model once all layers have appended.
    void set_num_tokens(int64_t num_tokens) { num_tokens_ = num_tokens; }

    [[nodiscard]] HeadCache& head(int64_t layer, int64_t kv_head) {
        return heads_[static_cast<size_t>(layer * layout_->num_kv_heads() + kv_head)];
    }
    [[nodiscard]] const HeadCache& head(int64_t layer, int64_t kv_head) const {
        return heads_[static_cast<size_t>(layer * layout_->num_kv_heads() + kv_head)];
    }

    /// A second sequence with the same tokens, which shares the pages until either writes to them.
    /// It has no room of its own promised; a promise to this one grows by the copies that it now
    /// has to take. Throws BudgetError when there is no room for those.
    [[nodiscard]] std::unique_ptr<SequenceCache> fork() const;
    /// The same for restore(): what it costs is part of the room that was reserved.
    [[nodiscard]] std::unique_ptr<SequenceCache> snapshot() const;
    /// Becomes what a snapshot of this sequence holds; the snapshot is then of no use.
    void restore(SequenceCache& snapshot) noexcept;
    /// Lets a snapshot of this sequence go, which is then of no use: pages that only it held are
    /// again part of the room that was reserved for this one.
    void drop(SequenceCache& snapshot) noexcept;
    /// Forgets the tokens from `num_tokens` on, if no head has lost what a sequence of so many
    /// would hold; false (and nothing changed) otherwise.
    [[nodiscard]] bool truncate(int64_t num_tokens);
    [[nodiscard]] bool can_truncate(int64_t num_tokens) const;

    /// Pages that this sequence holds, those that it shares included.
    [[nodiscard]] int64_t num_pages() const;

    /// Bytes of the further pages that growing so can need at most, other bytes included.
    [[nodiscard]] int64_t bytes_to_grow(const Growth& growth) const;
    /// The same for `num_tokens` tokens, at most `step` at a time, when the first of them end a
    /// prompt before token `prompt_end`, which is one pass where `step` is 1.
    [[nodiscard]] int64_t bytes_to_grow(int64_t num_tokens, int64_t step, int64_t prompt_end) const;
    /// The same for one step of all of them, a prompt.
    [[nodiscard]] int64_t bytes_to_grow(int64_t num_tokens) const {
        return bytes_to_grow(num_tokens, num_tokens, num_tokens_ + num_tokens);
    }

    /// Room for growing so. While another reservation of this sequence lives, it grows where it
    /// does not suffice, and what is returned is empty. Throws BudgetError, with the bytes needed
    /// and free, when the pool has no such room.
    [[nodiscard]] Reservation reserve(const Growth& growth);
    /// Whether a living reservation suffices for that.
    [[nodiscard]] bool has_room(const Growth& growth) const {
        return promise_->active() && promised_.covers(growth);
    }
    /// What a living reservation still holds.
    [[nodiscard]] int64_t promised_bytes() const {
        return pool_->promised_pages(*promise_) * kPageBytes;
    }

    /// Counts bytes that hold keys and values outside the pages, in whole pages.
    void charge(int64_t bytes) { pool_->charge(*promise_, pages_for_bytes(bytes)); }
    void discharge(int64_t bytes) noexcept { pool_->discharge(*promise_, pages_for_bytes(bytes)); }

private:
    friend class Reservation;
    /// Bytes of all heads while it grows to `num_tokens`; `single`: token by token.
    [[nodiscard]] int64_t peak_bytes(const Growth& growth, int64_t num_tokens,
                                     int64_t prompt_tokens, bool single) const;
    void end_reservation() noexcept;

    std::shared_ptr<const CacheLayout> layout_;
    PagePool* pool_;
    int64_t num_tokens_ = 0;
    std::unique_ptr<PagePromise> promise_;
    Growth promised_;  // while the promise is active
    std::vector<HeadCache> heads_;
};

}  // namespace lowkey
