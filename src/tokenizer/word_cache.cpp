#include "tokenizer/word_cache.h"

#include <functional>

namespace lowkey {

size_t WordCache::slot_of(std::string_view word, size_t hash) const {
    const size_t mask = slots_.size() - 1;
    size_t i = hash & mask;
    while (slots_[i].text != nullptr &&
           (slots_[i].hash != hash || std::string_view(slots_[i].text, slots_[i].length) != word)) {
        i = (i + 1) & mask;
    }
    return i;
}

bool WordCache::append_known(std::string_view word, std::vector<int32_t>& ids) const {
    if (word.size() > kMaxWordBytes) return false;
    const Entry& entry = slots_[slot_of(word, std::hash<std::string_view>()(word))];
    if (entry.text == nullptr) return false;
    for (size_t i = entry.begin; i < entry.begin + entry.num_ids; ++i) {
        const int32_t id = ids[i];  // a copy: push_back may move the vector
        ids.push_back(id);
    }
    return true;
}

void WordCache::add(std::string_view word, size_t begin, size_t end) {
    if (word.size() > kMaxWordBytes || size_ == kMaxWords) return;
    if (2 * (size_ + 1) > slots_.size()) {
        std::vector<Entry> old(4 * slots_.size());
        old.swap(slots_);
        for (const Entry& entry : old) {
            if (entry.text == nullptr) continue;
            slots_[slot_of({entry.text, entry.length}, entry.hash)] = entry;
        }
    }
    const size_t hash = std::hash<std::string_view>()(word);
    slots_[slot_of(word, hash)] = {.hash = hash,
                                   .text = word.data(),
                                   .length = static_cast<uint32_t>(word.size()),
                                   .num_ids = static_cast<uint32_t>(end - begin),
                                   .begin = begin};
    ++size_;
}

}  // namespace lowkey
