#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace lowkey {

/// Remembers, during one call of encode(), where in its result the ids of short words are: most
/// words of a text repeat, and copying ids is cheaper than merging again. Bounded; belongs to one
/// call, so it needs no lock and changes no result.
class WordCache {
public:
    /// When `word` was added before: appends its ids to `ids` and returns true. `ids` must be the
    /// vector that add() was told about, and only grow.
    bool append_known(std::string_view word, std::vector<int32_t>& ids) const;
    /// Remembers that ids[begin, end) are those of `word`, whose bytes must outlive the cache.
    void add(std::string_view word, size_t begin, size_t end);

private:
    static constexpr size_t kMaxWords = size_t{1} << 17;
    static constexpr size_t kMaxWordBytes = 64;
    static constexpr size_t kFirstSlots = 256;

    struct Entry {
        size_t hash = 0;
        const char* text = nullptr;  // null: free
        uint32_t length = 0;
        uint32_t num_ids = 0;
        size_t begin = 0;
    };
    [[nodiscard]] size_t slot_of(std::string_view word, size_t hash) const;

    std::vector<Entry> slots_ = std::vector<Entry>(kFirstSlots);
    size_t size_ = 0;
};

}  // namespace lowkey
