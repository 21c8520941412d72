#pragma once

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>

namespace lowkey {

/// Threads that parallel_for uses: physical cores, unless set_num_threads said otherwise.
int num_threads();
/// For this process; at least 1. oneDNN follows, since both stand on OpenMP.
void set_num_threads(int threads);

namespace detail {
/// fork_join() with std::thread.
void fork_join(int threads, const std::function<void(int thread)>& fn);
/// Whether this thread runs the function of one.
bool in_fork_join();

constexpr int kMaxRanges = 128;
/// Indices that are left of a thread's range, on a cache line of their own.
struct alignas(64) Range {
    std::atomic<int64_t> next = 0;
    int64_t end = 0;
};
}  // namespace detail

/// Calls fn(thread) once for each thread in [0, threads), on as many threads, and returns when all
/// have ended. fn must not throw.
template <typename Fn>
void fork_join(int threads, Fn&& fn) {
#if defined(__SANITIZE_THREAD__)
    // ThreadSanitizer does not see how libgomp's threads wait for each other.
    detail::fork_join(threads, fn);
#else
#pragma omp parallel num_threads(threads)
    fn(omp_get_thread_num());
#endif
}

/// Whether the caller runs within a parallel_for; another one then runs on its thread alone.
inline bool in_parallel() {
#if defined(__SANITIZE_THREAD__)
    return detail::in_fork_join();
#else
    return omp_in_parallel() != 0;
#endif
}

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

/// Calls fn(i) for i in [0, n) on all threads, each index once, contiguous ranges per thread (so
/// which thread computes what depends on n and the thread count alone). The first exception is
/// thrown again when all have ended.
template <typename Fn>
void parallel_for(int64_t n, Fn&& fn) {
    const auto threads = static_cast<int>(std::min<int64_t>(n, num_threads()));
    if (threads <= 1 || in_parallel()) {
        for (int64_t i = 0; i < n; ++i) fn(i);
        return;
    }
    FirstError error;
    fork_join(threads, [&](int thread) {
        for (int64_t i = n * thread / threads; i < n * (thread + 1) / threads; ++i) {
            error.guard([&] { fn(i); });
        }
    });
    error.rethrow();
}

/// parallel_for for cores that are not equally fast, because others use them, too: a thread that
/// has ended its range takes indices of the others'. fn may not depend on which thread runs it.
/// `fn(i, thread)` with thread in [0, num_threads()).
template <typename Fn>
void parallel_for_balanced(int64_t n, Fn&& fn) {
    const auto threads =
        static_cast<int>(std::min<int64_t>({n, num_threads(), detail::kMaxRanges}));
    if (threads <= 1 || in_parallel()) {
        for (int64_t i = 0; i < n; ++i) fn(i, 0);
        return;
    }
    FirstError error;
    std::array<detail::Range, detail::kMaxRanges> ranges;
    for (int t = 0; t < threads; ++t) {
        detail::Range& range = ranges[static_cast<size_t>(t)];
        range.next = n * t / threads;
        range.end = n * (t + 1) / threads;
    }
    fork_join(threads, [&](int thread) {
        for (int r = 0; r < threads; ++r) {
            detail::Range& range = ranges[static_cast<size_t>((thread + r) % threads)];
            for (int64_t i = range.next++; i < range.end; i = range.next++)
                error.guard([&] { fn(i, thread); });
        }
    });
    error.rethrow();
}

/// parallel_for for items of unequal cost: threads take the next index when free. fn may not depend
/// on which thread runs it. `fn(i, thread)` with thread in [0, num_threads()).
template <typename Fn>
void parallel_for_dynamic(int64_t n, Fn&& fn) {
    const auto threads = static_cast<int>(std::min<int64_t>(n, num_threads()));
    if (threads <= 1 || in_parallel()) {
        for (int64_t i = 0; i < n; ++i) fn(i, 0);
        return;
    }
    FirstError error;
    std::atomic<int64_t> next = 0;
    fork_join(threads, [&](int thread) {
        for (int64_t i = next++; i < n; i = next++) error.guard([&] { fn(i, thread); });
    });
    error.rethrow();
}

}  // namespace lowkey
