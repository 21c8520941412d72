#include "bench/micro/benches.h"

namespace lowkey::bench {
namespace {

/// What a kernel does for each number of a row. An operation is a sum, product, comparison,
/// division, rounding, exponential or tanh of its definition, however many instructions it takes.
struct PerNumber {
    double bytes;
    double operations;
};

/// A kernel that goes over a row of n numbers; `call` gets the row, which it may change.
template <typename Call>
void add(const KernelTable& table, const char* kernel, int64_t n, PerNumber cost, Call call) {
    benchmark::RegisterBenchmark(
        name(table, kernel, n).c_str(), [=](benchmark::State& state) mutable {
            std::vector<float> x = random_floats(n);
            const auto count = static_cast<double>(n);
            measure(state, cost.bytes * count, cost.operations * count, [&] { call(x.data(), n); });
        });
}

}  // namespace

void add_row_kernels(const KernelTable& table) {
    constexpr double kRead = 4;
    constexpr double kReadAndWrite = 8;
    for (const int64_t n : {64, 256, 8192}) {
        add(table, "max", n, {kRead, 1},
            [&table](float* x, int64_t count) { benchmark::DoNotOptimize(table.max(x, count)); });
        add(table, "exp_sum", n, {kReadAndWrite, 3}, [&table](float* x, int64_t count) {
            // exp(x - 1) has a fixed point at 1, so the numbers stay normal.
            benchmark::DoNotOptimize(table.exp_sum(x, count, 1.0f));
        });
        add(table, "sum", n, {kRead, 1},
            [&table](float* x, int64_t count) { benchmark::DoNotOptimize(table.sum(x, count)); });
        add(table, "sum_squares", n, {kRead, 3}, [&table](float* x, int64_t count) {
            benchmark::DoNotOptimize(table.sum_squares(x, count, 0.25));
        });
        add(table, "scale", n, {kReadAndWrite, 1},
            [&table](float* x, int64_t count) { table.scale(x, count, -1.0f); });
        add(table, "add_ramp", n, {kReadAndWrite, 2},
            [&table](float* x, int64_t count) { table.add_ramp(x, count, 0.0f, 1e-6f); });
        add(table, "softcap", n, {kReadAndWrite, 3},
            [&table](float* x, int64_t count) { table.softcap(x, count, 50.0f); });
        add(table, "silu_mul", n, {kReadAndWrite + kRead, 4},
            // Times 0, or numbers would fade to denormal ones, which are slow.
            [&table, up = std::vector<float>(static_cast<size_t>(n))](float* x, int64_t count) {
                table.silu_mul(x, up.data(), count);
            });
        add(table, "to_bf16", n, {kRead + 2, 1},
            [&table, out = std::vector<uint16_t>(static_cast<size_t>(n))](
                float* x, int64_t count) mutable { table.to_bf16(x, out.data(), count); });
    }
}

}  // namespace lowkey::bench
