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

TEST(PagePool, EmptySlabsGoBackToTheSystemButForOne) {
    // Three slabs of 64 pages and the beginning of a fourth.
    PagePool pool(194 * kPageBytes);
    std::vector<PageRef> pages;
    for (int i = 0; i < 194; ++i) {
        pages.push_back(pool.allocate());
        std::memset(pages.back().data(), 1, kPageBytes);
        EXPECT_EQ(resident_bytes(pages.back().data()), kPageBytes);
    }
    const std::byte* first = pages[0].data();
    const std::byte* second = pages[64].data();
    const std::byte* third = pages[128].data();
    const std::byte* fourth = pages[192].data();
    pages.erase(pages.begin() + 129, pages.end());
    // A sequence at the border of a slab does not get it mapped again and again.
    EXPECT_EQ(resident_bytes(fourth), kPageBytes);
    EXPECT_EQ(resident_bytes(third), kPageBytes);  // its slab has a page in use
    pages.pop_back();
    EXPECT_EQ(resident_bytes(fourth), 0);
    EXPECT_EQ(resident_bytes(third), kPageBytes);  // the one that is taken from next
    pages.erase(pages.begin() + 64, pages.end());
    EXPECT_EQ(resident_bytes(third), 0);
    EXPECT_EQ(resident_bytes(second), kPageBytes);
    pages.push_back(pool.allocate());
    EXPECT_EQ(pages.back().data(), second);
    pages.clear();
    EXPECT_EQ(resident_bytes(first), 0);
    EXPECT_EQ(resident_bytes(second), 0);
}

TEST(PagePool, WhatIsPromisedIsNobodyElses) {
    PagePool pool(10 * kPageBytes);
    PagePromise first;
    PagePromise second;
    pool.promise(first, 6, "the first");
    EXPECT_EQ(pool.free_pages(), 4);
    try {
        pool.promise(second, 5, "the second");
        FAIL() << "no exception";
    } catch (const BudgetError& error) {
        EXPECT_EQ(error.needed_bytes, 5 * kPageBytes);
        EXPECT_EQ(error.free_bytes, 4 * kPageBytes);
    }
    EXPECT_FALSE(second.active());
    pool.promise(second, 4, "the second");
    // Without a promise there is nothing to be had; with one there is, to the last page.
    EXPECT_THROW(static_cast<void>(pool.allocate()), BudgetError);
    std::vector<PageRef> pages;
    for (int i = 0; i < 6; ++i) pages.push_back(pool.allocate(first));
    EXPECT_THROW(static_cast<void>(pool.allocate(first)), BudgetError);
    // What is given back may be taken again, by whom it was promised to alone.
    pages.back().give_back(first);
    pages.pop_back();
    EXPECT_EQ(pool.promised_pages(first), 1);
    EXPECT_THROW(static_cast<void>(pool.allocate()), BudgetError);
    pages.push_back(pool.allocate(first));
    pool.end_promise(second);
    EXPECT_EQ(pool.free_pages(), 4);
    pool.end_promise(first);
    EXPECT_EQ(pool.allocated_bytes(), 6 * kPageBytes);
    pages.clear();
    EXPECT_EQ(pool.free_pages(), 10);
}

TEST(PagePool, SharedPagesGoBackToThePromiseOfTheLastHolder) {
    PagePool pool(2 * kPageBytes);
    PagePromise promise;
    pool.promise(promise, 1, "one");
    PageRef page = pool.allocate(promise);
    PageRef other = page;
    page.give_back(promise);
    EXPECT_EQ(pool.promised_pages(promise), 0) << "somebody else holds it";
    other = PageRef();
    EXPECT_EQ(pool.free_pages(), 2);
    pool.end_promise(promise);
}

TEST(PagePool, OtherMemoryIsChargedAgainstTheBudget) {
    PagePool pool(10 * kPageBytes);
    PagePromise promise;
    pool.promise(promise, 5, "a prompt");
    pool.charge(promise, 4);
    EXPECT_EQ(pool.free_pages(), 5);
    EXPECT_EQ(pool.promised_pages(promise), 1);
    EXPECT_EQ(pool.peak_bytes(), 4 * kPageBytes);
    EXPECT_THROW(pool.charge(promise, 7), BudgetError);
    pool.discharge(promise, 4);
    EXPECT_EQ(pool.promised_pages(promise), 5);
    pool.end_promise(promise);
    EXPECT_EQ(pool.free_pages(), 10);
    EXPECT_EQ(pool.allocated_bytes(), 0);
    pool.reset_peak();
    EXPECT_EQ(pool.peak_bytes(), 0);
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
