#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kvcache/page_pool.h"

namespace lowkey {

/// The pages of one head by number, some of them missing. A copy shares them all.
///
/// Within a step, pages that were there when it began are kept until it is committed: one that is
/// dropped or replaced by a copy is parked, one that came within the step goes back at once. What
/// is written in place is the caller's affair.
class PageTable {
public:
    PageTable(PagePool& pool, PagePromise& promise) : pool_(&pool), promise_(&promise) {}
    /// The same pages, taken on behalf of another promise. `other` is in no step.
    PageTable(const PageTable& other, PagePromise& promise);
    PageTable(PageTable&&) noexcept = default;
    PageTable& operator=(PageTable&&) noexcept = default;
    ~PageTable() = default;
    void rebind(PagePromise& promise) { promise_ = &promise; }

    /// Numbers from 0 to before this one may have a page.
    [[nodiscard]] int64_t size() const { return static_cast<int64_t>(entries_.size()); }
    [[nodiscard]] bool has(int64_t page) const { return page < size() && at(page).ref; }
    [[nodiscard]] std::byte* data(int64_t page) const { return at(page).ref.data(); }
    [[nodiscard]] bool shared(int64_t page) const { return has(page) && at(page).ref.shared(); }
    /// Whether any page may have been shared since all were last found to be this table's own.
    [[nodiscard]] bool may_share() const { return may_share_; }
    /// Says that none is.
    void shares_none() { may_share_ = false; }
    /// Pages here, without parked ones.
    [[nodiscard]] int64_t num_pages() const { return num_pages_; }

    /// Takes a page where none is, and where it is to be written but may not be (others share it,
    /// or the step keeps it), puts a copy in its place. Throws BudgetError; the table is then as
    /// before.
    void take(int64_t page, bool to_write);
    /// Pages that take() would take of the pool: 0 or 1.
    [[nodiscard]] int64_t would_take(int64_t page, bool to_write) const;
    /// Throws std::bad_alloc within a step; the table is then as before.
    void drop(int64_t page);
    /// Drops those from `size` on. Not within a step.
    void truncate(int64_t size) noexcept;
    /// Drops all; a promise gets those that nobody else holds. Not within a step.
    void give_back(PagePromise& promise) noexcept;

    /// `keeps_old`: pages from before the step are not written in place.
    void begin_step(bool keeps_old) noexcept;
    [[nodiscard]] bool in_step() const { return in_step_; }
    void commit() noexcept;
    void rollback() noexcept;

private:
    struct Entry {
        PageRef ref;
        bool fresh = false;  ///< came within the step, whatever was here before is parked
    };
    struct Parked {
        int64_t page;
        PageRef ref;  ///< null: there was none
    };
    [[nodiscard]] const Entry& at(int64_t page) const {
        return entries_[static_cast<size_t>(page)];
    }
    [[nodiscard]] bool must_copy(const Entry& entry) const;
    /// Whether what stands at a number before it changes must be remembered.
    [[nodiscard]] bool parks(int64_t page) const {
        return in_step_ && page < old_size_ && !at(page).fresh;
    }
    void end_step() noexcept;

    PagePool* pool_;
    PagePromise* promise_;
    std::vector<Entry> entries_;
    int64_t num_pages_ = 0;
    mutable bool may_share_ = false;

    bool in_step_ = false;
    bool keeps_old_ = false;
    bool old_may_share_ = false;
    int64_t old_size_ = 0;
    int64_t old_num_pages_ = 0;
    std::vector<Parked> parked_;
};

}  // namespace lowkey
