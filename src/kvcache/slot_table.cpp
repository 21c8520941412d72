#include "kvcache/slot_table.h"

#include <algorithm>
#include <numeric>

namespace lowkey {

int64_t SlotTable::find(int64_t position) const {
    const auto found = std::find(positions_.begin(), positions_.end(), position);
    return found == positions_.end() ? -1 : found - positions_.begin();
}

void SlotTable::push(int64_t position, double attention) {
    const auto slot = static_cast<int32_t>(size());
    order_.push_back(slot);
    attention_.push_back(attention);
    positions_.push_back(static_cast<int32_t>(position));
}

SlotTable::Choice SlotTable::choose(const TokenPolicy& policy, std::span<const double> cached,
                                    std::span<const double> arriving, int64_t first_arriving,
                                    bool prompt, int64_t prompt_tokens) const {
    const size_t slots = positions_.size();
    std::vector<Candidate> candidates;
    candidates.reserve(slots + arriving.size());
    for (const int32_t at : order_) {
        const auto slot = static_cast<size_t>(at);
        candidates.push_back({positions_[slot], cached[slot], attention_[slot] + cached[slot]});
    }
    for (size_t i = 0; i < arriving.size(); ++i) {
        const double got = arriving[i];
        candidates.push_back({first_arriving + static_cast<int64_t>(i), got, got});
    }
    const std::vector<size_t> leaving = policy.leaving(candidates, prompt, prompt_tokens);

    Choice choice;
    choice.order.reserve(slots);
    std::vector<uint8_t> leaves(slots);
    auto next = leaving.begin();
    for (size_t i = 0; i < candidates.size(); ++i) {
        const bool goes = next != leaving.end() && *next == i;
        if (goes) ++next;
        if (i >= slots) {
            if (!goes) choice.entering.push_back(static_cast<int64_t>(i - slots));
        } else if (goes) {
            leaves[static_cast<size_t>(order_[i])] = 1;
        } else {
            choice.order.push_back(order_[i]);
        }
    }
    // The last kept slots fill the holes, so that slots stay dense.
    size_t end = slots;
    for (size_t slot = 0; slot < end; ++slot) {
        if (leaves[slot] == 0) continue;
        while (end > slot + 1 && leaves[end - 1] != 0) --end;
        --end;
        if (end > slot)
            choice.moves.push_back({static_cast<int64_t>(end), static_cast<int64_t>(slot)});
    }
    choice.size = static_cast<int64_t>(end);
    if (choice.moves.empty()) return choice;
    std::vector<int32_t> now(slots);
    std::iota(now.begin(), now.end(), 0);
    for (const Choice::Move& move : choice.moves)
        now[static_cast<size_t>(move.from)] = static_cast<int32_t>(move.to);
    for (int32_t& slot : choice.order) slot = now[static_cast<size_t>(slot)];
    return choice;
}

void SlotTable::apply(Choice& choice, std::span<const double> cached) noexcept {
    for (size_t slot = 0; slot < attention_.size(); ++slot) attention_[slot] += cached[slot];
    for (const Choice::Move& move : choice.moves) {
        const auto from = static_cast<size_t>(move.from);
        const auto to = static_cast<size_t>(move.to);
        positions_[to] = positions_[from];
        attention_[to] = attention_[from];
    }
    positions_.resize(static_cast<size_t>(choice.size));
    attention_.resize(static_cast<size_t>(choice.size));
    order_.swap(choice.order);
}

void SlotTable::begin_step(bool keeps_old) {
    saved_.whole = keeps_old;
    saved_.size = positions_.size();
    if (!keeps_old) return;
    saved_.positions = positions_;
    saved_.attention = attention_;
    saved_.order = order_;
}

void SlotTable::rollback() noexcept {
    if (saved_.whole) {
        positions_.swap(saved_.positions);
        attention_.swap(saved_.attention);
        order_.swap(saved_.order);
        return;
    }
    // push() may have ended half-way.
    order_.resize(saved_.size);
    attention_.resize(saved_.size);
    positions_.resize(saved_.size);
}

}  // namespace lowkey
