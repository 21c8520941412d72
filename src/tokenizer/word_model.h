#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace lowkey {

/// What turns one word (a piece that the pre-tokenizer made) into ids. Immutable, thread-safe.
class WordModel {
public:
    virtual ~WordModel() = default;
    /// Appends the ids of `word`: valid UTF-8, not empty.
    virtual void append_ids(std::string_view word, std::vector<int32_t>& ids) const = 0;
    [[nodiscard]] virtual const Vocabulary& vocabulary() const = 0;
};

}  // namespace lowkey
