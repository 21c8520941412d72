// Every kernel of every instruction set that runs here, on one thread:
//
//     build/release/bin/lowkey_micro --benchmark_filter='score_bf16|sum_bf16'
//
// Data are in the first or second cache, but for attend_pages, which reads memory. The limits of
// one thread, measured first, stand above the table.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "base/parallel.h"
#include "bench/micro/benches.h"
#include "kernels/machine_limits.h"

namespace {

/// As the counters count: "36.6G".
std::string billions(double per_second) { return fmt::format("{:.1f}G", per_second / 1e9); }

void print_limits() {
    lowkey::set_num_threads(1);
    const lowkey::MachineLimits limits = lowkey::measure_machine_limits({});
    benchmark::AddCustomContext("read bytes/s", billions(limits.read_bytes_per_second));
    benchmark::AddCustomContext("f32 FLOP/s", billions(limits.f32_flops));
    benchmark::AddCustomContext("bf16 FLOP/s", billions(limits.bf16_flops));
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    print_limits();
    for (const lowkey::KernelTable* table : lowkey::runnable_kernels()) {
        lowkey::bench::add_linear_kernels(*table);
        lowkey::bench::add_attention_kernels(*table);
        lowkey::bench::add_row_kernels(*table);
        lowkey::bench::add_page_kernels(*table);
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
