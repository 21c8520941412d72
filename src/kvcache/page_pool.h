#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace lowkey {

/// Bytes of every page: small enough that a short window wastes little, large enough to stream.
inline constexpr int64_t kPageBytes = 32 * 1024;

/// Pages that hold so many bytes.
inline int64_t pages_for_bytes(int64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes; }

class PagePool;

/// Pages of a pool that were promised to one taker, who has not taken them yet: nobody else gets
/// them. The pool keeps its numbers; the taker names it when he takes pages and gives them back.
class PagePromise {
public:
    /// Whether pages were promised that the taker may still take, or take again.
    [[nodiscard]] bool active() const { return active_; }

private:
    friend class PagePool;
    int64_t pages_ = 0;
    bool active_ = false;
};

/// A counted reference to a page. Copying shares the page; the last reference returns it to its
/// pool. References of different threads to one page need no lock.
class PageRef {
public:
    PageRef() = default;
    PageRef(const PageRef& other) noexcept;
    PageRef(PageRef&& other) noexcept;
    PageRef& operator=(PageRef other) noexcept;
    ~PageRef();

    /// Whether there is a page.
    explicit operator bool() const { return pool_ != nullptr; }
    [[nodiscard]] std::byte* data() const;
    /// Whether another reference exists, so that writing needs a copy first.
    [[nodiscard]] bool shared() const;
    /// Lets the page go; if this was the last reference, an active promise gets it back.
    void give_back(PagePromise& promise) noexcept;

private:
    friend class PagePool;
    PageRef(PagePool* pool, int64_t index) : pool_(pool), index_(index) {}
    PagePool* pool_ = nullptr;
    int64_t index_ = -1;
};

/// Fixed arena of equal pages: the one place where cache memory is taken and counted. Its memory is
/// the system's huge pages (slabs) where there are such: streaming a cache through small ones would
/// spend much of its time on finding them. Pages are taken from the front, so that those in use
/// stay in few slabs, and slabs without any go back to the system, but for one while others are in
/// use: a sequence at a slab's border would get it mapped again and again.
///
/// The budget is a ledger: pages in use, pages that stand for other memory with keys and values
/// (charged), and pages that were promised are at most all pages there are. Thread-safe. Must
/// outlive its pages.
class PagePool {
public:
    /// Reserves the addresses of floor(budget_bytes / kPageBytes) pages; memory is used when a page
    /// is first written. Throws BudgetError if not one page fits.
    explicit PagePool(int64_t budget_bytes);
    ~PagePool();
    PagePool(const PagePool&) = delete;
    PagePool& operator=(const PagePool&) = delete;

    /// An uninitialized page with one reference: of those not in use the one with the lowest
    /// address. Throws BudgetError when no page is free; the caller's pages stay valid.
    [[nodiscard]] PageRef allocate();
    /// The same of what was promised, and then of what is free.
    [[nodiscard]] PageRef allocate(PagePromise& promise);

    /// Promises further pages. Throws BudgetError, naming what is needed and free (`what` says for
    /// whom), when fewer are free.
    void promise(PagePromise& promise, int64_t pages, const char* what);
    /// Whoever was promised pages takes no more of them.
    void end_promise(PagePromise& promise) noexcept;

    /// Counts memory outside the arena against the budget, in pages, first those promised. Throws
    /// BudgetError.
    void charge(PagePromise& promise, int64_t pages);
    void discharge(PagePromise& promise, int64_t pages) noexcept;

    [[nodiscard]] int64_t num_pages() const { return num_pages_; }
    /// Neither in use nor charged nor promised.
    [[nodiscard]] int64_t free_pages() const;
    /// What an active promise still holds.
    [[nodiscard]] int64_t promised_pages(const PagePromise& promise) const;
    [[nodiscard]] int64_t allocated_bytes() const;  ///< pages in use now
    [[nodiscard]] int64_t peak_bytes() const;       ///< most pages ever in use and charged
    /// Lets the peak begin again at what is in use now.
    void reset_peak();

private:
    friend class PageRef;
    [[nodiscard]] std::byte* page(int64_t index) const { return arena_ + index * kPageBytes; }
    void add_reference(int64_t index) noexcept;
    void drop_reference(int64_t index, PagePromise* promise) noexcept;
    [[nodiscard]] int references(int64_t index) const noexcept;
    [[nodiscard]] int64_t unpromised() const { return num_pages_ - in_use_ - charged_ - promised_; }
    /// Takes pages of the budget, first those promised. Needs the lock.
    void draw(PagePromise& promise, int64_t pages, const char* what);
    void note_peak() noexcept;
    [[nodiscard]] int64_t slab_pages(size_t slab) const;
    void unmap_slab(size_t slab) noexcept;

    int64_t num_pages_ = 0;
    void* mapping_ = nullptr;
    size_t mapped_bytes_ = 0;
    std::byte* arena_ = nullptr;     // at the first border of huge pages in the mapping
    int32_t* references_ = nullptr;  // [num_pages], behind the arena; read and written atomically
    mutable std::mutex mutex_;
    // Of slabs that were ever used: a bit per page, set where it is free.
    std::vector<uint64_t> free_;
    size_t first_free_ = 0;   // slabs before this one are full
    int64_t idle_slab_ = -1;  // without pages in use, but mapped
    int64_t in_use_ = 0;
    int64_t charged_ = 0;
    int64_t promised_ = 0;
    int64_t peak_ = 0;
};

}  // namespace lowkey
