// Any config.json is either refused with an Error or gives sizes that can be computed with.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "io/json_reader.h"
#include "model/model_config.h"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it by this name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    try {
        const auto config =
            lowkey::ModelConfig::read(lowkey::parse_json(input, "config.json"), "config.json");
        LOWKEY_CHECK(config.num_heads % config.num_kv_heads == 0);
        LOWKEY_CHECK(config.kv_bytes_per_token() > 0);
        if (config.positions == lowkey::ModelConfig::Positions::kRope) {
            LOWKEY_CHECK(config.rope.rotary_dim <= config.head_dim);
            const lowkey::RotaryTable table(config.rope, 4);
            LOWKEY_CHECK(table.num_pairs() * 2 == config.rope.rotary_dim);
            for (int64_t j = 0; j < table.num_pairs(); ++j) {
                LOWKEY_CHECK(std::isfinite(table.cos(3)[j]) && std::isfinite(table.sin(3)[j]));
            }
        }
    } catch (const lowkey::Error&) {
        // Refused, as most inputs must be.
    }
    return 0;
}
