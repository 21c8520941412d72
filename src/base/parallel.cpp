#include "base/parallel.h"

#include <sched.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/cpu_quota.h"

namespace lowkey {
namespace {

/// Processors that this process may run on; empty where the kernel does not say.
std::vector<int> allowed_processors() {
    std::vector<int> allowed;
    const auto configured = static_cast<int>(sysconf(_SC_NPROCESSORS_CONF));
    // The kernel wants room for all processors that it could have.
    for (int room = std::max(configured, 1024); room <= (1 << 20); room *= 2) {
        std::vector<cpu_set_t> set(CPU_ALLOC_SIZE(static_cast<size_t>(room)) / sizeof(cpu_set_t) +
                                   1);
        const size_t bytes = set.size() * sizeof(cpu_set_t);
        CPU_ZERO_S(bytes, set.data());
        if (sched_getaffinity(0, bytes, set.data()) != 0) continue;
        for (int cpu = 0; cpu < room; ++cpu) {
            if (CPU_ISSET_S(static_cast<size_t>(cpu), bytes, set.data())) allowed.push_back(cpu);
        }
        break;
    }
    return allowed;
}

/// Distinct (package, core) pairs of processors; as many as there are processors where the kernel
/// does not say.
int physical_cores(const std::vector<int>& processors) {
    std::set<std::pair<int, int>> cores;
    for (const int cpu : processors) {
        const std::string folder =
            "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
        int package = -1;
        int core = -1;
        std::ifstream(folder + "physical_package_id") >> package;
        std::ifstream(folder + "core_id") >> core;
        if (core < 0) return static_cast<int>(processors.size());
        cores.insert({package, core});
    }
    return static_cast<int>(cores.size());
}

std::atomic<int>& thread_count() {
    static std::atomic<int> count = usable_cores();
    return count;
}

}  // namespace

int usable_cores() {
    const int cores = std::max(1, physical_cores(allowed_processors()));
    const double quota = cpu_quota();
    return quota > 0 && quota < cores ? static_cast<int>(std::ceil(quota)) : cores;
}

int num_threads() { return thread_count().load(std::memory_order_relaxed); }

void set_num_threads(int threads) { thread_count() = std::max(1, threads); }

}  // namespace lowkey
