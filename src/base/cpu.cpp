#include "base/cpu.h"

#include <fstream>

#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lowkey {
namespace {

#ifdef __x86_64__
/// Whether a bit of leaf 7 is set; reg 0 to 3: eax, ebx, ecx, edx.
bool cpuid7(unsigned subleaf, int reg, int bit) {
    unsigned regs[4] = {};
    if (__get_cpuid_count(7, subleaf, &regs[0], &regs[1], &regs[2], &regs[3]) == 0) return false;
    return ((regs[reg] >> bit) & 1u) != 0;
}
#endif

}  // namespace

#ifdef __x86_64__

bool has_avx512_bf16() { return __builtin_cpu_supports("avx512f") != 0 && cpuid7(1, 0, 5); }

bool request_amx_bf16() {
    static const bool granted = [] {
        if (!cpuid7(0, 3, 24) || !cpuid7(0, 3, 22)) return false;
        constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
        constexpr int kTileData = 18;
        return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
    }();
    return granted;
}

bool has_fast_bf16() {
    return has_avx512_bf16() && (request_amx_bf16() || __builtin_cpu_is("amd") != 0);
}

#else

bool has_avx512_bf16() { return false; }
bool request_amx_bf16() { return false; }
bool has_fast_bf16() { return false; }

#endif

std::string cpu_name() {
    std::ifstream info("/proc/cpuinfo");
    std::string line;
    while (std::getline(info, line)) {
        if (!line.starts_with("model name")) continue;
        const size_t colon = line.find(": ");
        if (colon != std::string::npos) return line.substr(colon + 2);
    }
    return "unknown processor";
}

}  // namespace lowkey
