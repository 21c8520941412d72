#include "base/thread_pool.h"

#include <chrono>
#include <exception>

namespace lowkey {
namespace {

using Clock = std::chrono::steady_clock;

// How long threads spin. Between two jobs of a forward pass there are microseconds; waking a thread
// costs tens of them. A thread that is in a job is seldom more than an item away from its end: if
// it is, the system has probably put it aside, and spinning would only spend time that it needs.
constexpr std::chrono::microseconds kSpinForJob{100};
constexpr std::chrono::microseconds kSpinForMembers{30};
// Looks at a variable between two looks at the clock.
constexpr int kLooks = 32;

void relax() {
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

/// Waits until `variable` differs from `value`, and returns what it is: spins for a while, then
/// sleeps.
uint32_t wait_while(const std::atomic<uint32_t>& variable, uint32_t value,
                    std::chrono::microseconds spin) {
    const auto end = Clock::now() + spin;
    do {
        for (int i = 0; i < kLooks; ++i) {
            const uint32_t now = variable.load(std::memory_order_acquire);
            if (now != value) return now;
            relax();
        }
    } while (Clock::now() < end);
    variable.wait(value, std::memory_order_acquire);
    return variable.load(std::memory_order_acquire);
}

bool& within_job() {
    thread_local bool within = false;
    return within;
}

}  // namespace

ThreadPool& ThreadPool::instance() {
    // Never destroyed: its threads may be asleep in it when the process ends.
    static auto* pool = new ThreadPool;
    return *pool;
}

bool ThreadPool::in_job() { return within_job(); }

void ThreadPool::run(int threads, const Job& job) {
    if (within_job()) {
        job.run(job.context, 0);
        return;
    }
    const bool alone = threads <= 1 || busy_.test_and_set(std::memory_order_acquire);
    if (!alone) {
        start_workers(threads - 1);
        job_ = job;
        wanted_.store(threads, std::memory_order_relaxed);
        members_.store(0, std::memory_order_release);
        num_jobs_.fetch_add(1, std::memory_order_release);
        num_jobs_.notify_all();
    }
    within_job() = true;
    job.run(job.context, 0);
    within_job() = false;
    if (alone) return;
    close();
    busy_.clear(std::memory_order_release);
}

void ThreadPool::close() {
    uint32_t members = members_.fetch_or(kClosed, std::memory_order_acq_rel) | kClosed;
    while (members != kClosed) members = wait_while(members_, members, kSpinForMembers);
}

void ThreadPool::start_workers(int count) {
    while (num_workers_ < count && may_start_) {
        try {
            // The process may end while they sleep.
            std::thread([this, thread = num_workers_ + 1] { work(thread); }).detach();
            ++num_workers_;
        } catch (const std::exception&) {
            may_start_ = false;  // too many processes, or no memory; those that there are do it
        }
    }
}

void ThreadPool::work(int thread) {
    within_job() = true;
    // A thread may come into being after the job that it was started for.
    uint32_t seen = 0;
    for (;;) {
        seen = wait_while(num_jobs_, seen, kSpinForJob);
        if (thread >= wanted_.load(std::memory_order_relaxed) || !join()) continue;
        // The job may be a later one by now, for fewer threads.
        if (thread < wanted_.load(std::memory_order_relaxed)) job_.run(job_.context, thread);
        leave();
    }
}

bool ThreadPool::join() {
    uint32_t members = members_.load(std::memory_order_acquire);
    while ((members & kClosed) == 0) {
        if (members_.compare_exchange_weak(members, members + 1, std::memory_order_acq_rel))
            return true;
    }
    return false;
}

void ThreadPool::leave() {
    if (members_.fetch_sub(1, std::memory_order_acq_rel) == (kClosed | 1)) members_.notify_one();
}

}  // namespace lowkey
