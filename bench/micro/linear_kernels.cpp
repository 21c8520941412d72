#include "bench/micro/benches.h"

namespace lowkey::bench {
namespace {

// Some blocks of a packed matrix.
constexpr int64_t kRows = 128;

void gemv_f32(benchmark::State& state, const KernelTable& table, int64_t cols) {
    const std::vector<float> w = random_floats(kRows * cols);
    const std::vector<float> x = random_floats(cols);
    std::vector<float> y(kRows);
    measure(state, 4.0 * static_cast<double>(kRows * cols), 2.0 * static_cast<double>(kRows * cols),
            [&] { table.gemv_f32(w.data(), kRows, cols, x.data(), y.data()); });
}

void gemv_packed_bf16(benchmark::State& state, const KernelTable& table, int64_t cols) {
    const std::vector<uint16_t> w = random_bf16(table, kRows * cols);
    const std::vector<float> x = random_floats(cols);
    std::vector<float> y(kRows);
    measure(state, 2.0 * static_cast<double>(kRows * cols), 2.0 * static_cast<double>(kRows * cols),
            [&] {
                table.gemv_packed_bf16(w.data(), kRows / kPackedRows, cols * kPackedRows, cols,
                                       x.data(), y.data());
            });
}

void gram_f64(benchmark::State& state, const KernelTable& table, int64_t dim) {
    constexpr int64_t kTokens = 256;
    const std::vector<float> x = random_floats(kTokens * dim);
    std::vector<double> gram(static_cast<size_t>(dim * dim));
    const auto products = static_cast<double>(kTokens * dim * (dim + 1) / 2);
    measure(state, 4.0 * static_cast<double>(kTokens * dim), 2.0 * products,
            [&] { table.gram_f64(x.data(), dim, kTokens, dim, gram.data()); });
}

}  // namespace

void add_linear_kernels(const KernelTable& table) {
    for (const int64_t cols : {64, 2048, 8192}) {
        benchmark::RegisterBenchmark(
            name(table, "gemv_f32", cols).c_str(),
            [&table, cols](benchmark::State& state) { gemv_f32(state, table, cols); });
        benchmark::RegisterBenchmark(
            name(table, "gemv_packed_bf16", cols).c_str(),
            [&table, cols](benchmark::State& state) { gemv_packed_bf16(state, table, cols); });
    }
    for (const int64_t dim : {64, 128}) {
        benchmark::RegisterBenchmark(
            name(table, "gram_f64", dim).c_str(),
            [&table, dim](benchmark::State& state) { gram_f64(state, table, dim); });
    }
}

}  // namespace lowkey::bench
