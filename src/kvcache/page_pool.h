#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace lowkey {

/// Bytes of every page: small enough that a short window wastes little, large enough to stream.
inline constexpr int64_t kPageBytes = 32 * 1024;

class PagePool;

/// A counted reference to a page. Copying shares the page; the last reference returns it to its
/// pool.
class PageRef {
public:
    PageRef() = default;
    PageRef(const PageRef& other);
    PageRef(PageRef&& other) noexcept;
    PageRef& operator=(PageRef other) noexcept;
    ~PageRef();

    /// Whether there is a page.
    explicit operator bool() const { return pool_ != nullptr; }
    [[nodiscard]] std::byte* data() const;
    /// Whether another reference exists, so that writing needs a copy first.
    [[nodiscard]] bool shared() const;

private:
    friend class PagePool;
    PageRef(PagePool* pool, int64_t index) : pool_(pool), index_(index) {}
    PagePool* pool_ = nullptr;
    int64_t index_ = -1;
};

/// Fixed arena of equal pages: the one place where cache memory is taken and counted. Its memory is
/// the system's huge pages (slabs) where there are such: streaming a cache through small ones would
/// spend much of its time on finding them. Pages are taken from the front, so that those in use
/// stay in few slabs, and a slab without any goes back to the system. Thread-safe. Must outlive its
/// pages.
class PagePool {
public:
    /// Reserves the addresses of floor(budget_bytes / kPageBytes) pages; memory is used when a page
    /// is first written. Throws BudgetError if not one page fits.
    explicit PagePool(int64_t budget_bytes);
    ~PagePool();
    PagePool(const PagePool&) = delete;
    PagePool& operator=(const PagePool&) = delete;

    /// An uninitialized page with one reference: of those not in use the one with the lowest
    /// address. Throws BudgetError when the pool is empty; the caller's pages stay valid.
    [[nodiscard]] PageRef allocate();

    [[nodiscard]] int64_t num_pages() const { return num_pages_; }
    [[nodiscard]] int64_t free_pages() const;
    [[nodiscard]] int64_t allocated_bytes() const;  ///< pages in use now
    [[nodiscard]] int64_t peak_bytes() const;       ///< most pages ever in use

private:
    friend class PageRef;
    [[nodiscard]] std::byte* page(int64_t index) const { return arena_ + index * kPageBytes; }
    void add_reference(int64_t index);
    void drop_reference(int64_t index);
    [[nodiscard]] int references(int64_t index) const;

    int64_t num_pages_ = 0;
    void* mapping_ = nullptr;
    size_t mapped_bytes_ = 0;
    std::byte* arena_ = nullptr;  // at the first border of huge pages in the mapping
    mutable std::mutex mutex_;
    // Of slabs that were ever used: a bit per page, set where it is free, and references per page.
    std::vector<uint64_t> free_;
    std::vector<int> references_;
    size_t first_free_ = 0;  // slabs before this one are full
    int64_t in_use_ = 0;
    int64_t peak_ = 0;
};

}  // namespace lowkey
