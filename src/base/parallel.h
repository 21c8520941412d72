#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <type_traits>

#include "base/thread_pool.h"

namespace lowkey {

/// Threads that parallel loops use at most: as many as this process may run at a time
/// (usable_cores()), unless set_num_threads said otherwise.
int num_threads();
/// For this process; at least 1.
void set_num_threads(int threads);
/// Physical cores that this process may use: those of its affinity mask, and no more than its
/// cgroups grant time for (rounded up).
int usable_cores();

/// The first exception of several threads.
class FirstError {
public:
    /// Calls fn(), keeping what it throws.
    template <typename Fn>
    void guard(Fn&& fn) noexcept {
        try {
            fn();
        } catch (...) {
            const std::lock_guard lock(mutex_);
            if (!error_) error_ = std::current_exception();
        }
    }
    void rethrow() const {
        if (error_) std::rethrow_exception(error_);
    }

private:
    std::mutex mutex_;
    std::exception_ptr error_;
};

namespace detail {

/// Calls take(thread) on the calling thread and on up to `threads` - 1 others that come in time;
/// each takes items until none is left, and does not throw.
template <typename Fn>
void share(int threads, Fn&& take) {
    ThreadPool::instance().run(threads,
                               {[](void* context, int thread) noexcept {
                                    (*static_cast<std::remove_reference_t<Fn>*>(context))(thread);
                                },
                                &take});
}

constexpr int kMaxRanges = 64;
/// Indices of a range that nobody has begun, on a cache line of their own.
struct alignas(64) Range {
    std::atomic<int64_t> next = 0;
    int64_t end = 0;
};

/// Calls run(begin, end, thread) for pieces of [0, n), at most `grain` indices each. The indices
/// are cut into a range for each thread (some share one where they are many); who has ended his own
/// goes on with the others'.
template <typename Fn>
void share_ranges(int64_t n, int64_t grain, int threads, Fn&& run) {
    const int num_ranges = std::min(threads, kMaxRanges);
    std::array<Range, kMaxRanges> ranges;
    for (int r = 0; r < num_ranges; ++r) {
        Range& range = ranges[static_cast<size_t>(r)];
        range.next.store(n * r / num_ranges, std::memory_order_relaxed);
        range.end = n * (r + 1) / num_ranges;
    }
    share(threads, [&](int thread) {
        for (int i = 0; i < num_ranges; ++i) {
            Range& range = ranges[static_cast<size_t>((thread + i) % num_ranges)];
            for (;;) {
                const int64_t begin = range.next.fetch_add(grain, std::memory_order_relaxed);
                if (begin >= range.end) break;
                run(begin, std::min(range.end, begin + grain), thread);
            }
        }
    });
}

/// Threads for n items: one where another loop is being run already.
inline int threads_for(int64_t n) {
    return ThreadPool::in_job() ? 1 : static_cast<int>(std::min<int64_t>(n, num_threads()));
}

}  // namespace detail

/// Calls fn(i, thread) once for each i in [0, n), on all threads: neighbouring indices come to one
/// thread, in order, and a thread that has ended its range goes on with what the others have not
/// begun, since cores are not equally fast, and others use them, too. fn may not depend on which
/// thread runs it; `thread` is in [0, num_threads()), of its own for calls at a time. Within a
/// parallel loop another one runs on the calling thread alone. The first exception is thrown again
/// when all have ended.
template <typename Fn>
void parallel_for_balanced(int64_t n, Fn&& fn) {
    const int threads = detail::threads_for(n);
    if (threads <= 1) {
        for (int64_t i = 0; i < n; ++i) fn(i, 0);
        return;
    }
    FirstError error;
    detail::share_ranges(n, 1, threads, [&](int64_t i, int64_t /*end*/, int thread) {
        error.guard([&] { fn(i, thread); });
    });
    error.rethrow();
}

/// parallel_for_balanced for items too short to be taken one at a time: threads take runs of them.
/// `fn(i)`.
template <typename Fn>
void parallel_for(int64_t n, Fn&& fn) {
    // Runs that a thread takes its range in.
    constexpr int64_t kRuns = 8;
    const int threads = detail::threads_for(n);
    if (threads <= 1) {
        for (int64_t i = 0; i < n; ++i) fn(i);
        return;
    }
    FirstError error;
    const int64_t grain = std::max<int64_t>(1, n / (threads * kRuns));
    detail::share_ranges(n, grain, threads, [&](int64_t begin, int64_t end, int /*thread*/) {
        for (int64_t i = begin; i < end; ++i) error.guard([&] { fn(i); });
    });
    error.rethrow();
}

/// parallel_for_balanced for items of unequal cost: threads take the next index when free.
template <typename Fn>
void parallel_for_dynamic(int64_t n, Fn&& fn) {
    const int threads = detail::threads_for(n);
    if (threads <= 1) {
        for (int64_t i = 0; i < n; ++i) fn(i, 0);
        return;
    }
    FirstError error;
    std::atomic<int64_t> next = 0;
    detail::share(threads, [&](int thread) {
        for (int64_t i = next++; i < n; i = next++) error.guard([&] { fn(i, thread); });
    });
    error.rethrow();
}

}  // namespace lowkey
