#include "kvcache/sequence_cache.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"

namespace lowkey {

bool Growth::covers(const Growth& other) const {
    return other.num_tokens <= num_tokens && other.prompt_end <= prompt_end &&
           other.pass_tokens <= pass_tokens && other.step <= step &&
           other.other_bytes <= other_bytes;
}

Reservation::Reservation(Reservation&& other) noexcept
    : sequence_(std::exchange(other.sequence_, nullptr)) {}
Reservation& Reservation::operator=(Reservation&& other) noexcept {
    std::swap(sequence_, other.sequence_);
    return *this;
}
Reservation::~Reservation() {
    if (sequence_ != nullptr) sequence_->end_reservation();
}

SequenceCache::SequenceCache(std::shared_ptr<const CacheLayout> layout, PagePool& pool,
                             int64_t first_position)
    : layout_(std::move(layout)), pool_(&pool), promise_(std::make_unique<PagePromise>()) {
    heads_.reserve(static_cast<size_t>(layout_->num_layers() * layout_->num_kv_heads()));
    for (int64_t layer = 0; layer < layout_->num_layers(); ++layer) {
        for (int64_t head = 0; head < layout_->num_kv_heads(); ++head) {
            heads_.emplace_back(layout_->head(layer, head), pool, *promise_, first_position);
        }
    }
}

SequenceCache::~SequenceCache() {
    if (promise_ != nullptr && promise_->active()) end_reservation();
}

std::unique_ptr<SequenceCache> SequenceCache::snapshot() const {
    auto other = std::make_unique<SequenceCache>(layout_, *pool_);
    other->num_tokens_ = num_tokens_;
    for (size_t h = 0; h < heads_.size(); ++h)
        other->heads_[h] = HeadCache(heads_[h], *other->promise_);
    return other;
}

std::unique_ptr<SequenceCache> SequenceCache::fork() const {
    auto other = snapshot();
    if (!promise_->active()) return other;
    int64_t copies = 0;
    for (const HeadCache& head : heads_) copies += head.shared_pages_to_replace();
    pool_->promise(*promise_, copies, "copies of pages that a fork shares");
    return other;
}

void SequenceCache::restore(SequenceCache& snapshot) noexcept {
    for (size_t h = 0; h < heads_.size(); ++h) {
        heads_[h].give_back(*promise_);
        heads_[h] = std::move(snapshot.heads_[h]);
        heads_[h].rebind(*promise_);
    }
    num_tokens_ = snapshot.num_tokens_;
}

void SequenceCache::drop(SequenceCache& snapshot) noexcept {
    for (HeadCache& head : snapshot.heads_) head.give_back(*promise_);
}

bool SequenceCache::can_truncate(int64_t num_tokens) const {
    return std::all_of(heads_.begin(), heads_.end(),
                       [&](const HeadCache& head) { return head.can_truncate(num_tokens); });
}

bool SequenceCache::truncate(int64_t num_tokens) {
    if (!can_truncate(num_tokens)) return false;
    for (HeadCache& head : heads_) head.truncate(num_tokens);
    num_tokens_ = num_tokens;
    return true;
}

int64_t SequenceCache::num_pages() const {
    int64_t pages = 0;
    for (const HeadCache& head : heads_) pages += head.num_pages();
    return pages;
}

// ---- room

int64_t SequenceCache::peak_bytes(const Growth& growth, int64_t num_tokens, int64_t prompt_tokens,
                                  bool single) const {
    const int64_t tokens = num_tokens - num_tokens_;
    const bool one_pass = tokens <= growth.pass_tokens;
    // A pass that begins with tokens here keeps them until it is committed. (A single token lets
    // others go only then.)
    const bool keeps = !single && (num_tokens_ > 0 || !one_pass);
    const int64_t step = single ? 1 : growth.step;
    return layout_->peak_bytes([&](int64_t layer, int64_t kv_head) {
        const HeadCache& own = head(layer, kv_head);
        const int64_t between = own.peak_pages(num_tokens, 1, prompt_tokens);
        const HeadPeak peak{own.peak_pages(num_tokens, step, prompt_tokens), between};
        if (!keeps) return peak;
        return own.layout().keeping(peak, one_pass ? own.num_pages() : between, prompt_tokens,
                                    growth.step < growth.pass_tokens);
    });
}

int64_t SequenceCache::bytes_to_grow(const Growth& growth) const {
    const int64_t tokens = growth.num_tokens - num_tokens_;
    const bool prompt = growth.prompt_end > num_tokens_;
    if (!prompt && tokens <= 0) return 0;
    if (!prompt && tokens == 1) {
        int64_t pages = 0;
        for (const HeadCache& head : heads_) pages += head.pages_of_next_token();
        return pages * kPageBytes;
    }
    int64_t held = 0;
    int64_t replaced = 0;
    int64_t prompt_tokens = growth.prompt_end;
    for (const HeadCache& head : heads_) {
        held += head.num_pages();
        replaced += head.shared_pages_to_replace();
        prompt_tokens = std::max(prompt_tokens, head.prompt_tokens());
    }
    int64_t peak = 0;
    if (prompt || growth.pass_tokens > 1) {
        const int64_t end = prompt ? growth.prompt_end : growth.num_tokens;
        peak = peak_bytes(growth, end, prompt_tokens, /*single=*/false) +
               pages_for_bytes(growth.other_bytes) * kPageBytes;
    }
    if (!prompt || growth.num_tokens > growth.prompt_end) {
        peak =
            std::max(peak, peak_bytes(growth, growth.num_tokens, prompt_tokens, /*single=*/true));
    }
    return std::max<int64_t>(0, peak - held * kPageBytes) + replaced * kPageBytes;
}

int64_t SequenceCache::bytes_to_grow(int64_t num_tokens, int64_t step, int64_t prompt_end) const {
    const int64_t total = num_tokens_ + num_tokens;
    const bool prompt = prompt_end > num_tokens_;
    return bytes_to_grow({.num_tokens = total,
                          .prompt_end = prompt_end,
                          .pass_tokens = prompt && step == 1 ? prompt_end - num_tokens_ : step,
                          .step = step});
}

Reservation SequenceCache::reserve(const Growth& growth) {
    const bool began = promise_->active();
    if (began && promised_.covers(growth)) return {};
    const int64_t pages = pages_for_bytes(bytes_to_grow(growth)) - pool_->promised_pages(*promise_);
    const std::string what = std::to_string(growth.num_tokens) + " tokens, of which " +
                             std::to_string(num_tokens_) + " are cached";
    pool_->promise(*promise_, std::max<int64_t>(0, pages), what.c_str());
    promised_ = {.num_tokens = std::max(promised_.num_tokens, growth.num_tokens),
                 .prompt_end = std::max(promised_.prompt_end, growth.prompt_end),
                 .pass_tokens = std::max(promised_.pass_tokens, growth.pass_tokens),
                 .step = std::max(promised_.step, growth.step),
                 .other_bytes = std::max(promised_.other_bytes, growth.other_bytes)};
    return began ? Reservation() : Reservation(this);
}

void SequenceCache::end_reservation() noexcept {
    pool_->end_promise(*promise_);
    promised_ = Growth();
}

}  // namespace lowkey
