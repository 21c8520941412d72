#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fuzz/memory_file.h"
#include "tokenizer/tokenizer.h"

namespace lowkey::fuzz {

/// A file that `load(path)` makes a tokenizer of is either refused with an Error or encodes and
/// decodes text.
template <typename Load>
void try_tokenizer(std::string_view bytes, Load&& load) {
    static const MemoryFile file;
    file.fill(bytes);
    try {
        const auto tokenizer = load(file.path());
        for (const std::string_view text :
             {"", " a b  c\n1234", "<s>h\u00e9llo \U0001F600</s>", "\xff\xc3"}) {
            const std::vector<int32_t> ids = tokenizer->encode(text, true);
            static_cast<void>(tokenizer->decode(ids, false));
        }
        static_cast<void>(tokenizer->decode(std::vector<int32_t>{0, 1, 2, -1, 1 << 30}, true));
    } catch (const Error&) {
        // Refused, as most inputs must be.
    }
}

}  // namespace lowkey::fuzz
