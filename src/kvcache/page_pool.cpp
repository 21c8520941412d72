#include "kvcache/page_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
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

PageRef::PageRef(const PageRef& other) noexcept : pool_(other.pool_), index_(other.index_) {
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
    if (pool_ != nullptr) pool_->drop_reference(index_, nullptr);
}
void PageRef::give_back(PagePromise& promise) noexcept {
    if (pool_ != nullptr) pool_->drop_reference(index_, &promise);
    pool_ = nullptr;
    index_ = -1;
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
    const auto arena_bytes = static_cast<size_t>(num_pages_ * kPageBytes);
    mapped_bytes_ = arena_bytes + static_cast<size_t>(kSlabBytes) +
                    static_cast<size_t>(num_pages_) * sizeof(int32_t);
    mapping_ = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping_ == MAP_FAILED) {
        throw BudgetError(num_pages_ * kPageBytes, 0, "the system gives no such address range",
                          "lower --kv-budget or --max-context");
    }
    void* aligned = mapping_;
    size_t space = mapped_bytes_;
    arena_ = static_cast<std::byte*>(std::align(kSlabBytes, arena_bytes, aligned, space));
    references_ = reinterpret_cast<int32_t*>(arena_ + arena_bytes);
#ifdef MADV_HUGEPAGE
    // The rest after the last whole slab stays in small pages, to hold no more than asked. Only
    // advice: where the system does not take it, all else is the same.
    const int64_t whole_slabs = num_pages_ / kSlabPages;
    if (whole_slabs > 0)
        madvise(arena_, static_cast<size_t>(whole_slabs * kSlabBytes), MADV_HUGEPAGE);
#endif
}

PagePool::~PagePool() { munmap(mapping_, mapped_bytes_); }

// ---- the ledger

void PagePool::note_peak() noexcept { peak_ = std::max(peak_, in_use_ + charged_); }

void PagePool::draw(PagePromise& promise, int64_t pages, const char* what) {
    const int64_t promised = std::min(promise.pages_, pages);
    if (pages - promised > unpromised()) {
        const int64_t others = promised_ - promise.pages_;
        throw BudgetError(
            pages * kPageBytes, (unpromised() + promise.pages_) * kPageBytes,
            std::string(what) + ": " + std::to_string(in_use_ + charged_) + " of " +
                std::to_string(num_pages_) + " pages are in use" +
                (others > 0 ? ", " + std::to_string(others) + " promised to other requests" : ""),
            "raise --kv-budget or shorten the request");
    }
    promise.pages_ -= promised;
    promised_ -= promised;
}

void PagePool::promise(PagePromise& promise, int64_t pages, const char* what) {
    const std::lock_guard lock(mutex_);
    if (pages > unpromised()) {
        throw BudgetError(
            pages * kPageBytes, unpromised() * kPageBytes, what,
            "raise --kv-budget, shorten the request, or use a plan with a smaller cache");
    }
    promise.pages_ += pages;
    promise.active_ = true;
    promised_ += pages;
}

void PagePool::end_promise(PagePromise& promise) noexcept {
    const std::lock_guard lock(mutex_);
    promised_ -= promise.pages_;
    promise = PagePromise();
}

void PagePool::charge(PagePromise& promise, int64_t pages) {
    const std::lock_guard lock(mutex_);
    draw(promise, pages, "an exact prompt's own keys and values");
    charged_ += pages;
    note_peak();
}

void PagePool::discharge(PagePromise& promise, int64_t pages) noexcept {
    const std::lock_guard lock(mutex_);
    charged_ -= pages;
    if (!promise.active_) return;
    promise.pages_ += pages;
    promised_ += pages;
}

int64_t PagePool::free_pages() const {
    const std::lock_guard lock(mutex_);
    return unpromised();
}
int64_t PagePool::promised_pages(const PagePromise& promise) const {
    const std::lock_guard lock(mutex_);
    return promise.pages_;
}
int64_t PagePool::allocated_bytes() const {
    const std::lock_guard lock(mutex_);
    return in_use_ * kPageBytes;
}
int64_t PagePool::peak_bytes() const {
    const std::lock_guard lock(mutex_);
    return peak_ * kPageBytes;
}
void PagePool::reset_peak() {
    const std::lock_guard lock(mutex_);
    peak_ = in_use_ + charged_;
}

// ---- pages

PageRef PagePool::allocate() {
    PagePromise none;
    return allocate(none);
}

PageRef PagePool::allocate(PagePromise& promise) {
    const std::lock_guard lock(mutex_);
    while (first_free_ < free_.size() && free_[first_free_] == 0) ++first_free_;
    if (first_free_ == free_.size() && slab_pages(first_free_) > 0) {
        const int64_t pages = slab_pages(first_free_);
        free_.push_back(pages == kSlabPages ? ~uint64_t{0} : (uint64_t{1} << pages) - 1);
    }
    draw(promise, 1, "a page");
    uint64_t& slab = free_[first_free_];
    const int64_t index = static_cast<int64_t>(first_free_) * kSlabPages + std::countr_zero(slab);
    slab &= slab - 1;
    if (static_cast<int64_t>(first_free_) == idle_slab_) idle_slab_ = -1;
    // Whoever gets the page hands it on to other threads, if at all, in an order of his own.
    std::atomic_ref(references_[index]).store(1, std::memory_order_relaxed);
    ++in_use_;
    note_peak();
    return {this, index};
}

void PagePool::add_reference(int64_t index) noexcept {
    std::atomic_ref(references_[index]).fetch_add(1, std::memory_order_relaxed);
}

void PagePool::drop_reference(int64_t index, PagePromise* promise) noexcept {
    if (std::atomic_ref(references_[index]).fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    const std::lock_guard lock(mutex_);
    --in_use_;
    if (promise != nullptr && promise->active_) {
        ++promise->pages_;
        ++promised_;
    }
    const auto slab = static_cast<size_t>(index / kSlabPages);
    free_[slab] |= uint64_t{1} << (index % kSlabPages);
    first_free_ = std::min(first_free_, slab);
    if (std::popcount(free_[slab]) < slab_pages(slab)) return;
    // One idle slab stays mapped, the one that is taken from first; none when all is idle.
    const auto idle = static_cast<int64_t>(slab);
    const int64_t other = std::exchange(idle_slab_, -1);
    if (in_use_ == 0) {
        if (other >= 0) unmap_slab(static_cast<size_t>(other));
        unmap_slab(slab);
        return;
    }
    idle_slab_ = other < 0 ? idle : std::min(idle, other);
    if (other >= 0) unmap_slab(static_cast<size_t>(std::max(idle, other)));
}

int PagePool::references(int64_t index) const noexcept {
    return std::atomic_ref(references_[index]).load(std::memory_order_acquire);
}

int64_t PagePool::slab_pages(size_t slab) const {
    return std::min(num_pages_ - static_cast<int64_t>(slab) * kSlabPages, kSlabPages);
}

void PagePool::unmap_slab(size_t slab) noexcept {
    madvise(page(static_cast<int64_t>(slab) * kSlabPages),
            static_cast<size_t>(slab_pages(slab) * kPageBytes), MADV_DONTNEED);
}

}  // namespace lowkey
