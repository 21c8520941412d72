#include "kvcache/page_table.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace lowkey {
namespace {

// Longer lists of parked pages are not kept from step to step.
constexpr size_t kParkedKept = 16;

}  // namespace

PageTable::PageTable(const PageTable& other, PagePromise& promise)
    : pool_(other.pool_), promise_(&promise), num_pages_(other.num_pages_) {
    LOWKEY_CHECK(!other.in_step_);
    entries_ = other.entries_;
    may_share_ = true;
    other.may_share_ = true;
}

bool PageTable::must_copy(const Entry& entry) const {
    return (in_step_ && keeps_old_ && !entry.fresh) || (may_share_ && entry.ref.shared());
}

int64_t PageTable::would_take(int64_t page, bool to_write) const {
    if (!has(page)) return 1;
    return to_write && must_copy(at(page)) ? 1 : 0;
}

void PageTable::take(int64_t page, bool to_write) {
    if (would_take(page, to_write) == 0) return;
    // All that can throw comes first.
    if (size() <= page) {
        if (std::ssize(entries_) == static_cast<int64_t>(entries_.capacity()))
            entries_.reserve(std::max(entries_.size() * 2, static_cast<size_t>(page) + 1));
        entries_.resize(static_cast<size_t>(page) + 1);
    }
    if (parked_.size() == parked_.capacity()) parked_.reserve(parked_.size() * 2 + 2);
    PageRef own = pool_->allocate(*promise_);
    Entry& entry = entries_[static_cast<size_t>(page)];
    if (entry.ref) {
        std::memcpy(own.data(), entry.ref.data(), static_cast<size_t>(kPageBytes));
    } else {
        ++num_pages_;
    }
    if (parks(page)) {
        parked_.push_back({page, std::move(entry.ref)});
    } else {
        entry.ref.give_back(*promise_);
    }
    entry.ref = std::move(own);
    entry.fresh = in_step_;
}

void PageTable::drop(int64_t page) {
    if (!has(page)) return;
    Entry& entry = entries_[static_cast<size_t>(page)];
    if (parks(page)) {
        parked_.push_back({page, PageRef()});
        std::swap(parked_.back().ref, entry.ref);
        entry.fresh = true;
    } else {
        entry.ref.give_back(*promise_);
    }
    --num_pages_;
}

void PageTable::truncate(int64_t size) noexcept {
    LOWKEY_CHECK(!in_step_);
    for (int64_t page = size; page < this->size(); ++page) drop(page);
    if (size < this->size()) entries_.resize(static_cast<size_t>(size));
}

void PageTable::give_back(PagePromise& promise) noexcept {
    LOWKEY_CHECK(!in_step_);
    for (Entry& entry : entries_) entry.ref.give_back(promise);
    entries_.clear();
    num_pages_ = 0;
}

void PageTable::begin_step(bool keeps_old) noexcept {
    in_step_ = true;
    keeps_old_ = keeps_old;
    old_size_ = size();
    old_num_pages_ = num_pages_;
    old_may_share_ = may_share_;
}

void PageTable::commit() noexcept {
    if (!in_step_) return;
    for (Parked& parked : parked_) {
        parked.ref.give_back(*promise_);
        entries_[static_cast<size_t>(parked.page)].fresh = false;
    }
    for (int64_t page = old_size_; page < size(); ++page)
        entries_[static_cast<size_t>(page)].fresh = false;
    end_step();
}

void PageTable::rollback() noexcept {
    if (!in_step_) return;
    for (Parked& parked : parked_) {
        Entry& entry = entries_[static_cast<size_t>(parked.page)];
        entry.ref.give_back(*promise_);
        entry = {std::move(parked.ref), false};
    }
    for (int64_t page = old_size_; page < size(); ++page)
        entries_[static_cast<size_t>(page)].ref.give_back(*promise_);
    entries_.resize(static_cast<size_t>(old_size_));
    num_pages_ = old_num_pages_;
    may_share_ = old_may_share_;
    end_step();
}

void PageTable::end_step() noexcept {
    parked_.clear();
    if (parked_.capacity() > kParkedKept) parked_ = {};
    in_step_ = false;
}

}  // namespace lowkey
