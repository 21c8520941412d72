#include "kvcache/page_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"

namespace lowkey {
namespace {

/// Pages of one slab: a bit of a 64-bit word each, 2 MiB together, the size of a huge page.
constexpr int64_t kSlabPages = 64;
constexpr int64_t kSlabBytes = kSlabPages * kPageBytes;

}  // namespace

PageRef::PageRef(const PageRef& other) : pool_(other.pool_), index_(other.index_) {
    if (pool_ != nullptr) pool_->add_reference(index_);
}
PageRef::PageRef(PageRef&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), index_(std::exchange(other.index_, -1)) {}
PageRef& PageRef::operator=(PageRef other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(index_, other.index_);
    return *this;
}
PageRef::~PageRef() {
    if (pool_ != nullptr) pool_->drop_reference(index_);
}
std::byte* PageRef::data() const {
    LOWKEY_DCHECK(pool_ != nullptr);
    return pool_->page(index_);
}
bool PageRef::shared() const { return pool_ != nullptr && pool_->references(index_) > 1; }

PagePool::PagePool(int64_t budget_bytes) : num_pages_(budget_bytes / kPageBytes) {
    if (num_pages_ < 1) {
        throw BudgetError(kPageBytes, budget_bytes < 0 ? 0 : budget_bytes, "not one page fits",
                          "raise --kv-budget");
    }
    // A slab more, so that they can start at a border of huge pages.
    mapped_bytes_ = static_cast<size_t>(num_pages_ * kPageBytes + kSlabBytes);
    mapping_ = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping_ == MAP_FAILED) {
        throw BudgetError(num_pages_ * kPageBytes, 0, "the system gives no such address range",
                          "lower --kv-budget");
    }
    void* aligned = mapping_;
    size_t space = mapped_bytes_;
    arena_ = static_cast<std::byte*>(
        std::align(kSlabBytes, static_cast<size_t>(num_pages_ * kPageBytes), aligned, space));
#ifdef MADV_HUGEPAGE
    // The rest after the last whole slab stays in small pages, to hold no more than asked. Only
    // advice: where the system does not take it, all else is the same.
    const int64_t whole_slabs = num_pages_ / kSlabPages;
    if (whole_slabs > 0)
        madvise(arena_, static_cast<size_t>(whole_slabs * kSlabBytes), MADV_HUGEPAGE);
#endif
}

PagePool::~PagePool() { munmap(mapping_, mapped_bytes_); }

PageRef PagePool::allocate() {
    const std::lock_guard lock(mutex_);
    while (first_free_ < free_.size() && free_[first_free_] == 0) ++first_free_;
    if (first_free_ == free_.size()) {
        const int64_t left = num_pages_ - std::ssize(references_);
        if (left == 0) {
            throw BudgetError(kPageBytes, 0,
                              "all " + std::to_string(num_pages_) + " pages are in use",
                              "raise --kv-budget or shorten the request");
        }
        free_.push_back(left >= kSlabPages ? ~uint64_t{0} : (uint64_t{1} << left) - 1);
        references_.resize(references_.size() +
                           static_cast<size_t>(std::min<int64_t>(left, kSlabPages)));
    }
    uint64_t& slab = free_[first_free_];
    const int64_t index = static_cast<int64_t>(first_free_) * kSlabPages + std::countr_zero(slab);
    slab &= slab - 1;
    references_[static_cast<size_t>(index)] = 1;
    ++in_use_;
    peak_ = std::max(peak_, in_use_);
    return {this, index};
}

int64_t PagePool::free_pages() const {
    const std::lock_guard lock(mutex_);
    return num_pages_ - in_use_;
}
int64_t PagePool::allocated_bytes() const {
    const std::lock_guard lock(mutex_);
    return in_use_ * kPageBytes;
}
int64_t PagePool::peak_bytes() const {
    const std::lock_guard lock(mutex_);
    return peak_ * kPageBytes;
}

void PagePool::add_reference(int64_t index) {
    const std::lock_guard lock(mutex_);
    ++references_[static_cast<size_t>(index)];
}
void PagePool::drop_reference(int64_t index) {
    const std::lock_guard lock(mutex_);
    if (--references_[static_cast<size_t>(index)] > 0) return;
    --in_use_;
    const auto slab = static_cast<size_t>(index / kSlabPages);
    free_[slab] |= uint64_t{1} << (index % kSlabPages);
    first_free_ = std::min(first_free_, slab);
    const int64_t first = static_cast<int64_t>(slab) * kSlabPages;
    const int64_t pages = std::min(num_pages_ - first, kSlabPages);
    if (std::popcount(free_[slab]) == pages)
        madvise(page(first), static_cast<size_t>(pages * kPageBytes), MADV_DONTNEED);
}
int PagePool::references(int64_t index) const {
    const std::lock_guard lock(mutex_);
    return references_[static_cast<size_t>(index)];
}

}  // namespace lowkey
