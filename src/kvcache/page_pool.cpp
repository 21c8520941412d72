#include "kvcache/page_pool.h"

#include <sys/mman.h>

#include <cstring>
#include <utility>

#include "base/error.h"

namespace lowkey {

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
    void* address =
        mmap(nullptr, static_cast<size_t>(num_pages_ * kPageBytes), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED) {
        throw BudgetError(num_pages_ * kPageBytes, 0, "the system gives no such address range",
                          "lower --kv-budget");
    }
    arena_ = static_cast<std::byte*>(address);
}

PagePool::~PagePool() { munmap(arena_, static_cast<size_t>(num_pages_ * kPageBytes)); }

PageRef PagePool::allocate() {
    const std::lock_guard lock(mutex_);
    int64_t index = static_cast<int64_t>(references_.size());
    if (!returned_.empty()) {
        index = returned_.back();
        returned_.pop_back();
        references_[static_cast<size_t>(index)] = 1;
    } else if (index < num_pages_) {
        references_.push_back(1);
    } else {
        throw BudgetError(kPageBytes, 0, "all " + std::to_string(num_pages_) + " pages are in use",
                          "raise --kv-budget or shorten the request");
    }
    ++in_use_;
    if (in_use_ > peak_) peak_ = in_use_;
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
    returned_.push_back(index);
    --in_use_;
}
int PagePool::references(int64_t index) const {
    const std::lock_guard lock(mutex_);
    return references_[static_cast<size_t>(index)];
}

}  // namespace lowkey
