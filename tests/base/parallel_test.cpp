#include "base/parallel.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace lowkey {
namespace {

/// So many threads for the time of a test, whatever the machine has.
class Threads {
public:
    explicit Threads(int threads) : before_(num_threads()) { set_num_threads(threads); }
    ~Threads() { set_num_threads(before_); }
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;

private:
    int before_;
};

/// How often each of n indices is visited by the three loops.
std::vector<int> visits_of(int64_t n) {
    std::vector<std::atomic<int>> visits(static_cast<size_t>(n));
    const auto visit = [&](int64_t i) { ++visits[static_cast<size_t>(i)]; };
    parallel_for(n, visit);
    parallel_for_dynamic(n, [&](int64_t i, int) { visit(i); });
    parallel_for_balanced(n, [&](int64_t i, int) { visit(i); });
    return {visits.begin(), visits.end()};
}

TEST(Parallel, VisitsEveryIndexOnce) {
    for (const int threads : {1, 2, 3, 200}) {
        const Threads set(threads);
        for (const int64_t n : {0, 1, 2, 63, 1000})
            EXPECT_EQ(visits_of(n), std::vector<int>(static_cast<size_t>(n), 3)) << n;
    }
}

TEST(Parallel, CallsAtATimeHaveThreadNumbersOfTheirOwn) {
    const Threads set(4);
    for (int round = 0; round < 200; ++round) {
        std::vector<std::atomic<int>> inside(4);
        parallel_for_balanced(64, [&](int64_t, int thread) {
            auto& mine = inside[static_cast<size_t>(thread)];
            EXPECT_EQ(++mine, 1);
            --mine;
        });
    }
}

TEST(Parallel, AFreeThreadTakesWhatOthersHaveLeft) {
    // Whoever has index 0 waits until all others are done, those behind it in its range included.
    const Threads set(2);
    constexpr int64_t kItems = 64;
    std::atomic<int64_t> done = 0;
    std::atomic<bool> helped = false;
    parallel_for_balanced(kItems, [&](int64_t i, int) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (i == 0 && done < kItems - 1 && std::chrono::steady_clock::now() < end)
            std::this_thread::yield();
        if (i == 0) helped = done == kItems - 1;
        ++done;
    });
    EXPECT_EQ(done, kItems);
    EXPECT_TRUE(helped);
}

TEST(Parallel, ALoopEndsWhenItsWorkIsDoneThoughThreadsAreAsleep) {
    // Far more threads than processors: most are never awake in time.
    const Threads set(64);
    const auto start = std::chrono::steady_clock::now();
    std::atomic<int64_t> sum = 0;
    for (int round = 0; round < 500; ++round) parallel_for(8, [&](int64_t i) { sum += i; });
    EXPECT_EQ(sum, 500 * 28);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Parallel, LoopsOfSeveralThreadsAtATimeAreAllDone) {
    const Threads set(3);
    std::vector<std::thread> callers;
    std::atomic<int> wrong = 0;
    for (int c = 0; c < 4; ++c) {
        callers.emplace_back([&] {
            for (int round = 0; round < 100; ++round)
                wrong += visits_of(50) == std::vector<int>(50, 3) ? 0 : 1;
        });
    }
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(wrong, 0);
}

TEST(Parallel, ALoopWithinALoopRunsOnItsThread) {
    const Threads set(4);
    std::atomic<int> inner = 0;
    parallel_for(8, [&](int64_t) {
        const auto self = std::this_thread::get_id();
        parallel_for(8, [&](int64_t) {
            EXPECT_EQ(std::this_thread::get_id(), self);
            ++inner;
        });
    });
    EXPECT_EQ(inner, 64);
    EXPECT_FALSE(ThreadPool::in_job());
}

TEST(Parallel, ExceptionsReachTheCaller) {
    const auto fail = [](int64_t i) {
        if (i == 57) throw std::runtime_error("57");
    };
    for (const int threads : {1, 3}) {
        const Threads set(threads);
        EXPECT_THROW(parallel_for(100, fail), std::runtime_error);
        EXPECT_THROW(parallel_for_balanced(100, [&](int64_t i, int) { fail(i); }),
                     std::runtime_error);
        EXPECT_THROW(parallel_for_dynamic(100, [&](int64_t i, int) { fail(i); }),
                     std::runtime_error);
        EXPECT_FALSE(ThreadPool::in_job());
        EXPECT_EQ(visits_of(100), std::vector<int>(100, 3));
    }
}

TEST(Parallel, TheDefaultIsNoMoreThanTheProcessorsOfTheAffinityMask) {
    cpu_set_t before;
    ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    int first = 0;
    while (!CPU_ISSET(first, &before)) ++first;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(usable_cores(), 1);
    sched_setaffinity(0, sizeof before, &before);
    EXPECT_LE(usable_cores(), CPU_COUNT(&before));
}

}  // namespace
}  // namespace lowkey
