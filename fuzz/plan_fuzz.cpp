// Any plan file is either refused with an Error or has bytes, prints, can be summarized and
// composed, and, where it fits a model, runs: prompts, decoding and forks. Since few mutations keep
// a safetensors header right, the input is also tried as the plan's JSON in the metadata of a file
// with two small bases.

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "compress/compose.h"
#include "compress/plan_file.h"
#include "engine/engine.h"
#include "fuzz/tiny_model.h"
#include "kvcache/cache_layout.h"
#include "report/plan_summary.h"

namespace {

constexpr int64_t kHeadDim = 8;

/// The same with windows instead of what its heads say.
lowkey::PlanFile windows_for(const lowkey::PlanFile& plan) {
    lowkey::PlanFile windows = plan;
    for (auto& layer : windows.plan.layers) {
        for (lowkey::HeadPlan& head : layer) {
            head = {};
            head.policy = {"window", {{"window", int64_t{9}}, {"sinks", int64_t{2}}}};
        }
    }
    return windows;
}

void run(const lowkey::CachePlan& plan) {
    lowkey::Engine engine(lowkey::fuzz::tiny_model(), plan,
                          {.prefill_chunk = 16, .num_sequences = 2});
    const auto sequence = engine.new_sequence();
    const std::vector<int32_t> prompt(40, 3);
    for (int step = 0; step < 2; ++step)
        static_cast<void>(engine.prefill_logits(*sequence, prompt));
    const auto fork = sequence->fork();
    for (int step = 0; step < 3; ++step) {
        static_cast<void>(engine.decode(*sequence, 5));
        static_cast<void>(engine.decode(*fork, 7));
    }
    LOWKEY_CHECK(sequence->num_tokens() == 83 && fork->num_tokens() == 83);
}

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
        static_cast<void>(lowkey::summarize_plan("plan", plan));
        if (plan.head_dim == kHeadDim && plan.plan.layers.size() == 1 &&
            plan.plan.layers[0].size() == 1) {
            run(plan.plan);
        }
        const lowkey::PlanFile both = lowkey::compose_plans({plan, windows_for(plan)});
        LOWKEY_CHECK(both.plan.layers.size() == plan.plan.layers.size());
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
