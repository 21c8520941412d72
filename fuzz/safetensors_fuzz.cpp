// Any file is either refused with a FileError or gives views that lie inside it, aligned to their
// dtypes. The input is tried as a whole file, and, since few mutations keep the length in front of
// the header right, as a header that gets its length and some data.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/error.h"
#include "fuzz/memory_file.h"
#include "io/safetensors.h"

namespace {

void open_and_read(const std::string& bytes) {
    static const lowkey::fuzz::MemoryFile file;
    file.fill(bytes);
    try {
        const lowkey::SafetensorsFile opened(file.path());
        size_t total = 0;
        volatile unsigned sum = 0;  // the reads must happen: the sanitizer watches them
        for (const auto& [name, view] : opened.tensors()) {
            const auto width = static_cast<uintptr_t>(lowkey::dtype_bytes(view.dtype));
            LOWKEY_CHECK(reinterpret_cast<uintptr_t>(view.data) % width == 0);
            const std::span content(view.data, static_cast<size_t>(view.bytes()));
            for (const std::byte b : content) sum = sum + std::to_integer<unsigned>(b);
            total += content.size();
        }
        for (const auto& [name, other] : opened.unsupported()) {
            for (const std::byte b : other.bytes) sum = sum + std::to_integer<unsigned>(b);
            total += other.bytes.size();
        }
        LOWKEY_CHECK(total < bytes.size());
    } catch (const lowkey::FileError&) {
        // Refused, as most inputs must be.
    }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it by this name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string input(reinterpret_cast<const char*>(data), size);
    open_and_read(input);
    if (size < 2) return 0;
    const size_t data_bytes = data[0] % 32;
    const std::string header = input.substr(1);
    std::string file;
    for (int i = 0; i < 8; ++i) file += static_cast<char>((header.size() >> (8 * i)) & 0xff);
    open_and_read(file + header + std::string(data_bytes, 'x'));
    return 0;
}
