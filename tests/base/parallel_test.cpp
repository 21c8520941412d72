#include "base/parallel.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace lowkey {
namespace {

TEST(Parallel, VisitsEveryIndexOnce) {
    for (const int64_t n : {0, 1, 2, 1000}) {
        std::vector<int> visits(static_cast<size_t>(n), 0);
        parallel_for(n, [&](int64_t i) { ++visits[static_cast<size_t>(i)]; });
        parallel_for_dynamic(n, [&](int64_t i, int) { ++visits[static_cast<size_t>(i)]; });
        EXPECT_EQ(visits, std::vector<int>(static_cast<size_t>(n), 2)) << n;
    }
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
