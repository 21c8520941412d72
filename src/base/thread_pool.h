#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace lowkey {

/// Threads that help whoever has work to share. Work is never given to one of them: they come and
/// take what nobody has begun, so that the system may put any of them aside, or start none at all,
/// and the work is still done by those that run. Waiting threads spin for a moment, since the next
/// work of a forward pass comes within microseconds, and then sleep, to leave the processor to
/// other programs. Thread-safe.
class ThreadPool {
public:
    /// Work that any number of threads may take part in: run(context, thread) takes items until
    /// none is left, and does not throw. `thread` tells those that are in it at a time apart.
    struct Job {
        void (*run)(void* context, int thread) noexcept = nullptr;
        void* context = nullptr;
    };

    /// The pool of this process. It lives as long as the process does.
    static ThreadPool& instance();

    /// Runs job on the calling thread, as thread 0, and on those of `threads` - 1 others that come
    /// while it does, each with a number of its own below `threads`. Returns when the caller has
    /// found no item left and the others have ended theirs; who has not come by then is not waited
    /// for. Within a job, and while another thread's is being run, the caller works alone.
    void run(int threads, const Job& job);

    /// Whether the calling thread is within a job.
    static bool in_job();

private:
    ThreadPool() = default;
    void start_workers(int count);
    void work(int thread);
    /// Enters the current job, unless it is closed.
    bool join();
    void leave();
    /// Closes the job and waits for those in it.
    void close();

    static constexpr uint32_t kClosed = uint32_t{1} << 31;

    std::atomic_flag busy_;        // some thread's job is being run
    int num_workers_ = 0;          // of which there are threads; guarded by busy_
    bool may_start_ = true;        // false once the system gave no more threads
    Job job_;                      // written while closed and empty, read by those who have joined
    std::atomic<int> wanted_ = 0;  // threads that the job may use

    // Each on a cache line of its own: all threads look at these while they wait.
    alignas(64) std::atomic<uint32_t> num_jobs_ = 0;       // so far; workers wait for the next
    alignas(64) std::atomic<uint32_t> members_ = kClosed;  // workers in the job, and kClosed
};

}  // namespace lowkey
