#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lowkey {

/// Hash table from 64-bit keys (all but 2^64 - 1) to small values, with open addressing: one cache
/// line a look-up, which is what merging and trie walks spend their time on.
template <typename Value>
class FlatTable {
public:
    /// Sets the value of `key`.
    void set(uint64_t key, Value value) {
        if (2 * (size_ + 1) > slots_.size()) grow();
        Slot& slot = slots_[slot_of(key)];
        if (slot.key == kEmpty) ++size_;
        slot = {key, value};
    }

    /// The value of `key`, or null.
    [[nodiscard]] const Value* find(uint64_t key) const {
        if (slots_.empty()) return nullptr;
        const Slot& slot = slots_[slot_of(key)];
        return slot.key == key ? &slot.value : nullptr;
    }

    [[nodiscard]] size_t size() const { return size_; }

private:
    static constexpr uint64_t kEmpty = ~uint64_t{0};
    struct Slot {
        uint64_t key = kEmpty;
        Value value{};
    };

    [[nodiscard]] size_t slot_of(uint64_t key) const {
        const size_t mask = slots_.size() - 1;
        uint64_t hash = key * 0x9E3779B97F4A7C15ULL;
        hash ^= hash >> 32;
        size_t i = hash & mask;
        while (slots_[i].key != key && slots_[i].key != kEmpty) i = (i + 1) & mask;
        return i;
    }

    void grow() {
        std::vector<Slot> old(slots_.empty() ? 16 : 2 * slots_.size());
        old.swap(slots_);
        for (const Slot& slot : old) {
            if (slot.key != kEmpty) slots_[slot_of(slot.key)] = slot;
        }
    }

    std::vector<Slot> slots_;
    size_t size_ = 0;
};

}  // namespace lowkey
