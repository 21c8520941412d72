// Every kernel of every instruction set that runs here, on one thread:
//
//     build/release/bin/lowkey_micro --benchmark_filter='score_bf16|sum_bf16'
//
// Data are in the first or second cache unless the name says otherwise; `lowkey bench` says what
// memory gives.
#include <benchmark/benchmark.h>

#include "bench/micro/benches.h"

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    for (const lowkey::KernelTable* table : lowkey::runnable_kernels()) {
        lowkey::bench::add_linear_kernels(*table);
        lowkey::bench::add_attention_kernels(*table);
        lowkey::bench::add_row_kernels(*table);
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
