#pragma once

#include <omp.h>

#include <cstdint>
#include <exception>

namespace lowkey {

/// Threads that parallel_for uses: physical cores, unless set_num_threads said otherwise.
int num_threads();
/// For this process; at least 1. oneDNN follows, since both stand on OpenMP.
void set_num_threads(int threads);

/// Calls fn(i) for i in [0, n) on all threads, each index once, contiguous ranges per thread (so
/// which thread computes what depends on n and the thread count alone). The first exception is
/// thrown again when all have ended.
template <typename Fn>
void parallel_for(int64_t n, Fn&& fn) {
    if (n <= 1 || num_threads() == 1 || omp_in_parallel() != 0) {
        for (int64_t i = 0; i < n; ++i) fn(i);
        return;
    }
    std::exception_ptr error;
#pragma omp parallel for schedule(static) num_threads(num_threads())
    for (int64_t i = 0; i < n; ++i) {
        try {
            fn(i);
        } catch (...) {
#pragma omp critical
            if (!error) error = std::current_exception();
        }
    }
    if (error) std::rethrow_exception(error);
}

/// parallel_for for items of unequal cost: threads take the next index when free. fn may not depend
/// on which thread runs it. `fn(i, thread)` with thread in [0, num_threads()).
template <typename Fn>
void parallel_for_dynamic(int64_t n, Fn&& fn) {
    if (n <= 1 || num_threads() == 1 || omp_in_parallel() != 0) {
        for (int64_t i = 0; i < n; ++i) fn(i, 0);
        return;
    }
    std::exception_ptr error;
#pragma omp parallel for schedule(dynamic, 1) num_threads(num_threads())
    for (int64_t i = 0; i < n; ++i) {
        try {
            fn(i, omp_get_thread_num());
        } catch (...) {
#pragma omp critical
            if (!error) error = std::current_exception();
        }
    }
    if (error) std::rethrow_exception(error);
}

}  // namespace lowkey
