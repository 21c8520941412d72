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
namespace avx512_vnni {
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
    if (!avx512_runs) return tables;
    const bool vnni_runs = __builtin_cpu_supports("avx512vnni") != 0;
    const auto f32_products = [&] {
        tables.push_back(&avx512::kTable);
        if (vnni_runs) tables.push_back(&avx512_vnni::kTable);
    };
    // Where products of bf16 are no faster, rounding to them gains nothing.
    if (has_fast_bf16()) f32_products();
    // All processors with bf16 have the products of 8 bits that those tables use, too.
    if (vnni_runs && has_avx512_bf16()) {
        tables.push_back(&avx512_bf16::kTable);
        if (request_amx_bf16()) tables.push_back(&amx::kTable);
    }
    if (!has_fast_bf16()) f32_products();
#endif
    return tables;
}

namespace {

/// The table of an instruction set; `where` says who asks for it.
const KernelTable& find_kernels(const std::string& isa, const std::string& where) {
    std::string names;
    for (const KernelTable* table : runnable_kernels()) {
        if (table->isa == isa) return *table;
        names += (names.empty() ? "" : ", ") + std::string(table->isa);
    }
    throw UsageError("instruction set not available", where + isa, "this machine runs " + names);
}

/// What choose_kernels() chose, or null.
const KernelTable*& forced_kernels() {
    static const KernelTable* table = nullptr;
    return table;
}

}  // namespace

const KernelTable& kernels() {
    static const KernelTable& chosen = []() -> const KernelTable& {
        if (forced_kernels() != nullptr) return *forced_kernels();
        const char* isa = std::getenv("LOWKEY_ISA");
        if (isa == nullptr || *isa == '\0') return *runnable_kernels().back();
        return find_kernels(isa, "LOWKEY_ISA=");
    }();
    return chosen;
}

void choose_kernels(const std::string& isa) { forced_kernels() = &find_kernels(isa, "--isa "); }

}  // namespace lowkey
