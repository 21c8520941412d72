#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace lowkey {
namespace {

TEST(Parallel, VisitsEveryIndexOnce) {
    for (const int64_t n : {0, 1, 2, 1000}) {
        std::vector<int> visits(static_cast<size_t>(n), 0);
        parallel_for(n, [&](int64_t i) { ++visits[static_cast<size_t>(i)]; });
        parallel_for_dynamic(n, [&](int64_t i, int) { ++visits[static_cast<size_t>(i)]; });
        parallel_for_balanced(n, [&](int64_t i, int) { ++visits[static_cast<size_t>(i)]; });
        EXPECT_EQ(visits, std::vector<int>(static_cast<size_t>(n), 3)) << n;
    }
}

TEST(Parallel, AFreeThreadTakesWhatOthersHaveLeft) {
    // Whoever has index 0 waits until all others are done, those behind it in its range included.
    if (num_threads() < 2) GTEST_SKIP() << "one thread";
    constexpr int64_t kItems = 64;
    std::atomic<int64_t> done = 0;
    parallel_for_balanced(kItems, [&](int64_t i, int) {
        while (i == 0 && done < kItems - 1) std::this_thread::yield();
        ++done;
    });
    EXPECT_EQ(done, kItems);
}

TEST(Parallel, ExceptionsReachTheCaller) {
    EXPECT_THROW(parallel_for(100,
                              [](int64_t i) {
                                  if (i == 57) throw std::runtime_error("57");
                              }),
                 std::runtime_error);
}

}  // namespace
}  // namespace lowkey
