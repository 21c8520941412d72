// Any tokenizer.json is either refused with an Error or encodes and decodes text.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fuzz/memory_file.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"
#include "tokenizer/tokenizer_json.h"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it by this name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    static const lowkey::fuzz::MemoryFile file;
    file.fill(input);
    try {
        const auto tokenizer = lowkey::load_tokenizer_json(file.path(), {});
        for (const std::string_view text :
             {"", " a b  c\n1234", "<s>h\u00e9llo \U0001F600</s>", "\xff\xc3"}) {
            const std::vector<int32_t> ids = tokenizer->encode(text, true);
            static_cast<void>(tokenizer->decode(ids, false));
        }
        static_cast<void>(tokenizer->decode(std::vector<int32_t>{0, 1, 2, -1, 1 << 30}, true));
    } catch (const lowkey::Error&) {
        // Refused, as most inputs must be.
    }
    return 0;
}
