// Any tokenizer.model: see try_tokenizer().

#include <cstddef>
#include <cstdint>

#include "fuzz/tokenizer_input.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/tokenizer_config.h"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it by this name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    lowkey::fuzz::try_tokenizer(
        {reinterpret_cast<const char*>(data), size},
        [](const std::string& path) { return lowkey::load_sentencepiece(path, {}); });
    return 0;
}
