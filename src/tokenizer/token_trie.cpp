#include "tokenizer/token_trie.h"

#include "base/error.h"

namespace lowkey {

void TokenTrie::add(std::string_view text, int32_t number) {
    LOWKEY_CHECK(!text.empty() && text.size() <= kMaxBytes && number >= 0);
    starts_[static_cast<uint8_t>(text[0])] = true;
    uint32_t node = 0;
    for (const char byte : text) {
        const uint64_t key = edge(node, byte);
        if (const uint32_t* next = edges_.find(key)) {
            node = *next;
        } else {
            node = static_cast<uint32_t>(numbers_.size());
            numbers_.push_back(-1);
            edges_.set(key, node);
        }
    }
    numbers_[node] = number;
}

}  // namespace lowkey
