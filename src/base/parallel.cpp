#include "base/parallel.h"

#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace lowkey {
namespace {

/// Distinct (package, core) pairs of the processors this process may use; 0 where the kernel does
/// not say.
int physical_cores() {
    std::set<std::pair<int, int>> cores;
    for (unsigned cpu = 0; cpu < std::thread::hardware_concurrency(); ++cpu) {
        const std::string folder =
            "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
        int package = -1;
        int core = -1;
        std::ifstream(folder + "physical_package_id") >> package;
        std::ifstream(folder + "core_id") >> core;
        if (core >= 0) cores.insert({package, core});
    }
    return static_cast<int>(cores.size());
}

int& thread_count() {
    static int count = [] {
        const int usable = omp_get_num_procs();
        const int cores = physical_cores();
        return cores > 0 && cores < usable ? cores : usable;
    }();
    return count;
}

}  // namespace

namespace detail {
namespace {

bool& is_worker() {
    thread_local bool worker = false;
    return worker;
}

}  // namespace

bool in_fork_join() { return is_worker(); }

void fork_join(int threads, const std::function<void(int thread)>& fn) {
    std::vector<std::thread> workers;
    workers.reserve(static_cast<size_t>(threads));
    for (int t = 0; t < threads; ++t) {
        workers.emplace_back([&fn, t] {
            is_worker() = true;
            fn(t);
        });
    }
    for (std::thread& worker : workers) worker.join();
}

}  // namespace detail

int num_threads() { return thread_count(); }

void set_num_threads(int threads) {
    thread_count() = threads < 1 ? 1 : threads;
    omp_set_num_threads(thread_count());
}

}  // namespace lowkey
