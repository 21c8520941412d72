#include "base/cpu.h"

#include <fstream>

#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace lowkey {

bool has_fast_bf16() {
#ifdef __x86_64__
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
    constexpr unsigned kAmxBF16 = 1u << 22;
    const bool amx = (edx & kAmxBF16) != 0;
    if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) == 0) return amx;
    constexpr unsigned kAvx512BF16 = 1u << 5;
    const bool avx512_bf16 = (eax & kAvx512BF16) != 0 && __builtin_cpu_supports("avx512f") != 0;
    return avx512_bf16 && (amx || __builtin_cpu_is("amd") != 0);
#else
    return false;
#endif
}

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
