// Any plan file is either refused with an Error or has bytes, prints, and, where its tensors fit
// the heads of a model, gives a cache layout. Since few mutations keep a safetensors header right,
// the input is also tried as the plan's JSON in the metadata of a file with two small bases.

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "compress/plan_file.h"
#include "fuzz/memory_file.h"
#include "kvcache/cache_layout.h"

namespace {

constexpr int64_t kHeadDim = 8;

void read(std::string_view bytes) {
    static const lowkey::fuzz::MemoryFile file;
    file.fill(bytes);
    try {
        const lowkey::PlanFile plan = lowkey::read_plan(file.path());
        static_cast<void>(lowkey::plan_to_json(plan).dump());
        static_cast<void>(lowkey::plan_bytes(plan, 1000));
        lowkey::CacheShape shape;
        shape.head_dim = kHeadDim;
        for (const auto& layer : plan.plan.layers) {
            shape.layers.emplace_back(layer.size(), lowkey::CacheShape::Head{kHeadDim, kHeadDim});
        }
        const lowkey::CacheLayout layout(plan.plan, shape);
        LOWKEY_CHECK(layout.bytes_for(1000) > 0);
    } catch (const lowkey::Error&) {
        // Refused, as most inputs must be.
    }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it by this name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    read(input);
    const std::string tensors =
        R"("encode":{"dtype":"F32","shape":[8,4],"data_offsets":[0,128]},)"
        R"("decode":{"dtype":"F32","shape":[4,8],"data_offsets":[128,256]})";
    const std::string metadata =
        nlohmann::json(input).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    const std::string header =
        R"({"__metadata__":{"lowkey.plan":)" + metadata + "}," + tensors + "}";
    std::string file;
    for (int i = 0; i < 8; ++i) file += static_cast<char>((header.size() >> (8 * i)) & 0xff);
    read(file + header + std::string(256, 'x'));
    return 0;
}
