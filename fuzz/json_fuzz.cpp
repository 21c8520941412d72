// Any text is either refused with a FileError or can be walked with every accessor of JsonReader.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "io/json_reader.h"

namespace {

using lowkey::JsonReader;

template <typename Call>
void try_call(Call&& call) {
    try {
        call();
    } catch (const lowkey::FileError&) {
        // The value has another type or range, as the message says.
    }
}

void walk(const JsonReader& value) {
    try_call([&] { (void)value.string(); });
    try_call([&] { (void)value.boolean(); });
    try_call([&] { (void)value.number(); });
    try_call([&] { (void)value.integer(-8, 8); });
    try_call([&] { (void)value.integer(INT64_MIN, INT64_MAX); });
    try_call([&] { (void)value.at("a"); });
    try_call([&] { (void)value.string_or("a", "b"); });
    try_call([&] { (void)value.integer_or("a", 1, 0, 9); });
    if (value.is_array()) {
        for (const JsonReader& item : value.items()) walk(item);
    }
    if (value.is_object()) {
        for (const auto& [name, member] : value.members()) walk(member);
    }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it by this name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    for (const auto duplicates :
         {lowkey::DuplicateKeys::kTakeLast, lowkey::DuplicateKeys::kRefuse}) {
        try_call([&] {
            const nlohmann::json document = lowkey::parse_json(text, "fuzz", duplicates);
            walk(JsonReader(document, "fuzz"));
        });
    }
    return 0;
}
