#include "kernels/machine_limits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

namespace lowkey {
namespace {

// Little memory and short loops: the numbers mean nothing, but all code runs.
const LimitOptions kShort = {.read_bytes = 3 << 20, .dot_seconds = 1e-4, .repeats = 2};

TEST(MachineLimits, ArePositiveNumbers) {
    const MachineLimits limits = measure_machine_limits(kShort);
    for (const double limit : {limits.read_bytes_per_second, limits.f32_flops, limits.bf16_flops}) {
        EXPECT_GT(limit, 1e6);  // slower than any processor that runs this
        EXPECT_TRUE(std::isfinite(limit));
    }
    EXPECT_GE(limits.bf16_flops, limits.f32_flops);
}

TEST(MachineLimits, TheLoopsDoWhatIsCounted) {
    for (const LimitLoops* loops : runnable_limit_loops()) {
        SCOPED_TRACE(std::string(loops->isa));
        if (loops->read != nullptr) {
            // Every byte is read: any one alone shows.
            std::vector<std::byte> bytes(2048);
            EXPECT_EQ(loops->read(bytes.data(), 2048), 0);
            for (size_t i = 0; i < bytes.size(); i += 61) {
                bytes[i] = std::byte{1};
                EXPECT_NE(loops->read(bytes.data(), 2048), 0) << i;
                bytes[i] = std::byte{0};
            }
        }
        if (loops->f32_dot != nullptr) {
            EXPECT_GT(loops->f32_dot_flops, 0);
            // x / 2 + 1 settles at 2 from wherever it starts.
            const float settled = loops->f32_dot(100);
            EXPECT_EQ(settled, loops->f32_dot(200));
            EXPECT_EQ(std::fmod(settled, 2.0f), 0.0f);
        }
        if (loops->bf16_dot != nullptr) {
            EXPECT_GT(loops->bf16_dot_flops, 0);
            // Each round adds the same sum of ones.
            const float zero = loops->bf16_dot(0);
            const float one = loops->bf16_dot(1) - zero;
            EXPECT_GT(one, 0);
            EXPECT_EQ(loops->bf16_dot(10) - zero, 10 * one);
        }
    }
}

}  // namespace
}  // namespace lowkey
