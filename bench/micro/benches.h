#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace lowkey::bench {

// Each registers its benchmarks for one instruction set, as "kernel/isa/sizes".
void add_attention_kernels(const KernelTable& table);
void add_linear_kernels(const KernelTable& table);
void add_page_kernels(const KernelTable& table);
void add_row_kernels(const KernelTable& table);

/// "score_bf16/avx512/64/8"
template <typename... Sizes>
std::string name(const KernelTable& table, const std::string& kernel, Sizes... sizes) {
    std::string text = kernel;
    text.append("/").append(table.isa);
    (text.append("/").append(std::to_string(sizes)), ...);
    return text;
}

/// Numbers in [-1, 1).
inline std::vector<float> random_floats(int64_t n) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> x(static_cast<size_t>(n));
    for (float& v : x) v = uniform(random);
    return x;
}

inline std::vector<uint16_t> random_bf16(const KernelTable& table, int64_t n) {
    const std::vector<float> x = random_floats(n);
    std::vector<uint16_t> out(x.size());
    table.to_bf16(x.data(), out.data(), n);
    return out;
}

/// Runs `call` and counts what each call reads and computes, per second.
template <typename Call>
void measure(benchmark::State& state, double bytes, double flops, Call call) {
    for ([[maybe_unused]] const auto step : state) {
        call();
        benchmark::ClobberMemory();
    }
    using benchmark::Counter;
    constexpr auto kRate = Counter::kIsIterationInvariantRate;
    if (bytes > 0) state.counters["bytes/s"] = Counter(bytes, kRate, Counter::kIs1000);
    if (flops > 0) state.counters["FLOP/s"] = Counter(flops, kRate, Counter::kIs1000);
}

}  // namespace lowkey::bench
