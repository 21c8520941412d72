// What a prefill needed for a while goes back to the system, whatever it attended to.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>

#include "engine/engine.h"

namespace lowkey {
namespace {

/// Bytes of the process that are in memory.
int64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    int64_t size = 0;
    int64_t resident = 0;
    statm >> size >> resident;
    return resident * sysconf(_SC_PAGESIZE);
}

TEST(ResidentMemory, AnExactPrefillLeavesNoMoreThanACompressedOne) {
#ifdef LOWKEY_ADDRESS_SANITIZER
    GTEST_SKIP() << "AddressSanitizer holds on to freed memory, to find uses of it";
#endif
    constexpr int64_t kTokens = 4000;
    constexpr int64_t kMargin = int64_t{3} << 19;  // 1.5 MiB, less than one huge page
    const auto model = Model::load(LOWKEY_SMALL_MODEL);
    // The prompt's hidden states and one layer's keys and values in f32 take far more.
    const ModelConfig& config = model->config();
    const int64_t row = config.hidden_size + 2 * config.num_kv_heads * config.head_dim;
    ASSERT_GE(kTokens * row * 4, 6 * kMargin);
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < kTokens; ++i)
        ids.push_back(static_cast<int32_t>(i * 37 % model->config().vocab_size));
    const auto resident_after = [&](PrefillAttention mode) {
        CachePlan plan = CachePlan::dense(model->config().num_layers, model->config().num_kv_heads);
        plan.prefill_attention = mode;
        Engine engine(model, plan);
        const auto sequence = engine.new_sequence();
        static_cast<void>(engine.prefill_logits(*sequence, ids));
        static_cast<void>(engine.decode(*sequence, ids[0]));
        return resident_bytes();
    };
    // The first also pays for what stays with the process.
    static_cast<void>(resident_after(PrefillAttention::kCompressed));
    const int64_t compressed = resident_after(PrefillAttention::kCompressed);
    EXPECT_LE(resident_after(PrefillAttention::kExact), compressed + kMargin);
}

}  // namespace
}  // namespace lowkey
