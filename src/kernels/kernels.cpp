#include "kernels/kernels.h"

#include <cstdlib>
#include <string>

#include "base/cpu.h"
#include "base/error.h"

namespace lowkey {

namespace portable {
extern const KernelTable kTable;
}
#ifdef __x86_64__
namespace avx2 {
extern const KernelTable kTable;
}
namespace avx512 {
extern const KernelTable kTable;
}
namespace avx512_bf16 {
extern const KernelTable kTable;
}
namespace amx {
extern const KernelTable kTable;
}
#endif

std::vector<const KernelTable*> runnable_kernels() {
    std::vector<const KernelTable*> tables = {&portable::kTable};
#ifdef __x86_64__
    const bool avx2_runs =
        __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
    const bool avx512_runs = avx2_runs && __builtin_cpu_supports("avx512f") != 0 &&
                             __builtin_cpu_supports("avx512bw") != 0 &&
                             __builtin_cpu_supports("avx512dq") != 0 &&
                             __builtin_cpu_supports("avx512vl") != 0;
    if (avx2_runs) tables.push_back(&avx2::kTable);
    if (avx512_runs && has_avx512_bf16()) {
        tables.push_back(&avx512_bf16::kTable);
        if (request_amx_bf16()) tables.push_back(&amx::kTable);
    }
    if (avx512_runs) {
        // Where products of bf16 are no faster, rounding to them gains nothing.
        tables.insert(has_fast_bf16() ? tables.begin() + 2 : tables.end(), &avx512::kTable);
    }
#endif
    return tables;
}

const KernelTable& kernels() {
    static const KernelTable& chosen = []() -> const KernelTable& {
        const std::vector<const KernelTable*> tables = runnable_kernels();
        const char* forced = std::getenv("LOWKEY_ISA");
        if (forced == nullptr || *forced == '\0') return *tables.back();
        std::string names;
        for (const KernelTable* table : tables) {
            if (table->isa == forced) return *table;
            names += (names.empty() ? "" : ", ") + std::string(table->isa);
        }
        throw UsageError("instruction set not available", "LOWKEY_ISA=" + std::string(forced),
                         "this machine runs " + names);
    }();
    return chosen;
}

}  // namespace lowkey
