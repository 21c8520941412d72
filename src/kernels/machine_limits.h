#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace lowkey {

/// What this machine can do at most, on as many threads as lowkey uses; what speeds are compared
/// with.
struct MachineLimits {
    double read_bytes_per_second = 0;  ///< from memory, one after another
    double f32_flops = 0;              ///< sums of products per second; each counts as two
    double bf16_flops = 0;             ///< of bf16 products summed in f32
};

/// How long and over what to measure. The best of `repeats` counts: other programs only slow down.
struct LimitOptions {
    /// Memory to read; more than the caches hold, or it is their speed that is measured.
    int64_t read_bytes = int64_t{1} << 29;
    double dot_seconds = 0.01;  ///< of each repeat of the products
    int repeats = 4;
};

/// Measures; takes some tenths of a second. Throws std::bad_alloc where there is not so much
/// memory.
MachineLimits measure_machine_limits(const LimitOptions& options = {});

/// Loops that do nothing but what the limits count, compiled once per instruction set like the
/// kernels. A null pointer stands for what an instruction set has no instruction for.
struct LimitLoops {
    std::string_view isa;
    /// Bitwise or of all bytes (a multiple of 512), in 8 bytes.
    uint64_t (*read)(const std::byte* data, int64_t bytes) noexcept;
    /// A number that depends on `rounds` · dot_flops operations on registers.
    float (*f32_dot)(int64_t rounds) noexcept;
    int64_t f32_dot_flops;  ///< of a round
    float (*bf16_dot)(int64_t rounds) noexcept;
    int64_t bf16_dot_flops;
};

/// All loops that can run on this machine, best last; for tests.
std::vector<const LimitLoops*> runnable_limit_loops();

}  // namespace lowkey
