#include "kvcache/page_pool.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
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

/// Bytes of the page that the system holds in memory.
int64_t resident_bytes(const std::byte* page) {
    const auto system_page = static_cast<int64_t>(sysconf(_SC_PAGESIZE));
    std::vector<unsigned char> resident(static_cast<size_t>(kPageBytes / system_page));
    // mincore() takes a pointer to non-const although it writes nothing there.
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
    EXPECT_EQ(mincore(const_cast<std::byte*>(page), kPageBytes, resident.data()), 0);
    return std::count_if(resident.begin(), resident.end(), [](auto r) { return (r & 1) != 0; }) *
           system_page;
}

TEST(PagePool, TakesTheLowestAddressFirst) {
    PagePool pool(200 * kPageBytes);
    std::vector<PageRef> pages;
    for (int i = 0; i < 200; ++i) pages.push_back(pool.allocate());
    EXPECT_THROW(static_cast<void>(pool.allocate()), BudgetError);
    for (size_t i = 1; i < pages.size(); ++i)
        EXPECT_EQ(pages[i].data() - pages[i - 1].data(), kPageBytes);
    std::vector<const std::byte*> returned;
    for (const size_t i : {150, 3, 199, 64}) {
        returned.push_back(pages[i].data());
        pages[i] = PageRef();
    }
    std::sort(returned.begin(), returned.end());
    for (const std::byte* address : returned) {
        pages.push_back(pool.allocate());
        EXPECT_EQ(pages.back().data(), address);
    }
    EXPECT_EQ(pool.free_pages(), 0);
}

TEST(PagePool, EmptySlabsGoBackToTheSystem) {
    // Two slabs of 64 pages and the beginning of a third.
    PagePool pool(130 * kPageBytes);
    std::vector<PageRef> pages;
    for (int i = 0; i < 130; ++i) {
        pages.push_back(pool.allocate());
        std::memset(pages.back().data(), 1, kPageBytes);
        EXPECT_EQ(resident_bytes(pages.back().data()), kPageBytes);
    }
    const std::byte* first = pages[0].data();
    const std::byte* second = pages[64].data();
    const std::byte* third = pages[128].data();
    pages.erase(pages.begin() + 65, pages.end());
    EXPECT_EQ(resident_bytes(third), 0);
    EXPECT_EQ(resident_bytes(second), kPageBytes);  // its slab has a page in use
    pages.pop_back();
    EXPECT_EQ(resident_bytes(second), 0);
    EXPECT_EQ(resident_bytes(first), kPageBytes);
    pages.clear();
    EXPECT_EQ(resident_bytes(first), 0);
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
