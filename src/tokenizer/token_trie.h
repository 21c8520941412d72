#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/flat_table.h"

namespace lowkey {

/// Byte trie of strings with a number each, for finding all of them that start at a place.
class TokenTrie {
public:
    /// A longer string would make each place of a text cost that much.
    static constexpr size_t kMaxBytes = 1024;

    /// Adds `text` (not empty, at most kMaxBytes) with a number >= 0; the last one added counts.
    void add(std::string_view text, int32_t number);
    [[nodiscard]] bool empty() const { return numbers_.size() == 1; }

    /// Whether any string starts with this byte.
    [[nodiscard]] bool may_start(char byte) const { return starts_[static_cast<uint8_t>(byte)]; }

    /// Calls on_prefix(length, number) for each string that text.substr(start) begins with,
    /// shortest first.
    template <typename OnPrefix>
    void for_each_prefix(std::string_view text, size_t start, const OnPrefix& on_prefix) const {
        uint32_t node = 0;
        for (size_t pos = start; pos < text.size(); ++pos) {
            const uint32_t* next = edges_.find(edge(node, text[pos]));
            if (next == nullptr) return;
            node = *next;
            if (numbers_[node] >= 0) on_prefix(pos + 1 - start, numbers_[node]);
        }
    }

private:
    static uint64_t edge(uint32_t node, char byte) {
        return (uint64_t{node} << 8) | static_cast<uint8_t>(byte);
    }

    FlatTable<uint32_t> edges_;
    std::vector<int32_t> numbers_ = {-1};  // by node; the root is 0
    std::vector<bool> starts_ = std::vector<bool>(256, false);
};

}  // namespace lowkey
