#include "kvcache/page_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "base/error.h"

namespace lowkey {
namespace {

TEST(PagePool, CountsPagesInUseAndTheirPeak) {
    PagePool pool(3 * kPageBytes + 17);
    EXPECT_EQ(pool.num_pages(), 3);
    {
        const PageRef a = pool.allocate();
        const PageRef b = pool.allocate();
        EXPECT_EQ(pool.allocated_bytes(), 2 * kPageBytes);
        EXPECT_EQ(pool.free_pages(), 1);
    }
    EXPECT_EQ(pool.allocated_bytes(), 0);
    EXPECT_EQ(pool.peak_bytes(), 2 * kPageBytes);
}

TEST(PagePool, RefusesWhenEmptyAndKeepsWhatIsOut) {
    PagePool pool(kPageBytes);
    PageRef page = pool.allocate();
    std::memset(page.data(), 7, kPageBytes);
    EXPECT_THROW(static_cast<void>(pool.allocate()), BudgetError);
    EXPECT_EQ(static_cast<int>(page.data()[kPageBytes - 1]), 7);
    page = PageRef();
    EXPECT_NO_THROW(static_cast<void>(pool.allocate()));
}

TEST(PagePool, RefusesABudgetBelowOnePage) {
    EXPECT_THROW(PagePool(kPageBytes - 1), BudgetError);
    EXPECT_THROW(PagePool(0), BudgetError);
    EXPECT_THROW(PagePool(-5), BudgetError);
}

TEST(PagePool, LastReferenceReturnsThePage) {
    PagePool pool(2 * kPageBytes);
    PageRef a = pool.allocate();
    PageRef b = a;
    EXPECT_TRUE(a.shared());
    a = PageRef();
    EXPECT_FALSE(b.shared());
    EXPECT_EQ(pool.allocated_bytes(), kPageBytes);
    const PageRef c = std::move(b);
    EXPECT_EQ(pool.allocated_bytes(), kPageBytes);
    const std::byte* address = c.data();
    EXPECT_EQ(address, c.data());
}

TEST(PagePool, ThreadsShareIt) {
    PagePool pool(64 * kPageBytes);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&pool] {
            for (int i = 0; i < 200; ++i) {
                std::vector<PageRef> pages;
                for (int p = 0; p < 8; ++p) pages.push_back(pool.allocate());
                const std::vector<PageRef> copies = pages;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(pool.allocated_bytes(), 0);
    EXPECT_LE(pool.peak_bytes(), 32 * kPageBytes);
}

}  // namespace
}  // namespace lowkey
