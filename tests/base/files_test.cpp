#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <span>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mapped_file.h"

namespace lowkey {
namespace {

namespace fs = std::filesystem;

class Files : public ::testing::Test {
protected:
    void SetUp() override {
        folder_ = fs::temp_directory_path() / ("lowkey_files_test_" + std::to_string(::getpid()));
        fs::create_directories(folder_);
    }
    void TearDown() override { fs::remove_all(folder_); }
    [[nodiscard]] std::string path(const std::string& name) const {
        return (folder_ / name).string();
    }
    [[nodiscard]] int64_t count() const {
        return std::distance(fs::directory_iterator(folder_), fs::directory_iterator());
    }

private:
    fs::path folder_;
};

TEST_F(Files, AtomicFileAppearsOnlyWithCommit) {
    {
        AtomicFile file(path("a"));
        file.write("half");
    }
    EXPECT_EQ(count(), 0);
    AtomicFile file(path("a"));
    file.write("whole");
    EXPECT_FALSE(fs::exists(path("a")));
    file.commit();
    EXPECT_EQ(fs::file_size(path("a")), 5);
    EXPECT_EQ(count(), 1);
}

TEST_F(Files, UnwritableOutputIsAFileErrorThatNamesIt) {
    for (const std::string& bad : {path("no/such/folder/x"), path("")}) {
        try {
            check_writable(bad);
            FAIL() << bad;
        } catch (const FileError& e) {
            EXPECT_NE(std::string(e.what()).find(bad), std::string::npos) << e.what();
        }
    }
    EXPECT_THROW(check_writable(""), UsageError);
}

TEST_F(Files, MappedFileShowsTheBytes) {
    std::ofstream(path("m")) << "bytes";
    MappedFile file(path("m"));
    EXPECT_EQ(file.bytes().size(), 5);
    MappedFile moved = std::move(file);
    EXPECT_EQ(static_cast<char>(moved.bytes()[4]), 's');
    std::ofstream(path("empty")) << "";
    EXPECT_TRUE(MappedFile(path("empty")).bytes().empty());
}

/// Pages of these bytes that this process has in its page table; -1 where the system does not say.
int64_t count_present(std::span<const std::byte> bytes, size_t page) {
    const int pagemap = ::open("/proc/self/pagemap", O_RDONLY);  // wants whole entries read
    const auto first = reinterpret_cast<uintptr_t>(bytes.data()) / page;
    std::vector<uint64_t> entries(bytes.size() / page);
    const size_t wanted = entries.size() * sizeof(uint64_t);
    const ssize_t got =
        ::pread(pagemap, entries.data(), wanted, static_cast<off_t>(first * sizeof(uint64_t)));
    ::close(pagemap);
    if (got != static_cast<ssize_t>(wanted)) return -1;
    return std::count_if(entries.begin(), entries.end(), [](uint64_t e) { return e >> 63 != 0; });
}

TEST_F(Files, ReleasedPartsLeaveMemoryAndReadTheSame) {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    constexpr size_t kPages = 64;
    std::ofstream(path("m")) << std::string(kPages * page, 'x');
    const MappedFile file(path("m"));
    const auto touch = [&] {
        return std::count(file.bytes().begin(), file.bytes().end(), std::byte{'x'});
    };
    EXPECT_EQ(touch(), kPages * page);
    const int64_t present = count_present(file.bytes(), page);
    if (present < 0) GTEST_SKIP() << "no page map to look at";
    EXPECT_EQ(present, kPages);
    // From the middle of page 3 to the middle of page 10: pages 4 to 9 go.
    file.release(file.bytes().subspan(3 * page + page / 2, 7 * page));
    EXPECT_EQ(count_present(file.bytes(), page), kPages - 6);
    EXPECT_EQ(touch(), kPages * page);
    const std::vector<std::byte> elsewhere(4 * page);
    file.release(elsewhere);
    EXPECT_EQ(count_present(file.bytes(), page), kPages);
    file.release();
    EXPECT_EQ(count_present(file.bytes(), page), 0);
    EXPECT_EQ(touch(), kPages * page);
}

TEST_F(Files, MappingWhatIsNoFileIsAFileError) {
    EXPECT_THROW(MappedFile(path("missing")), FileError);
    EXPECT_THROW(MappedFile(path("")), FileError);
}

TEST(Hasher, DependsOnEveryByteAndNotOnTheCuts) {
    Hasher a;
    a.add("one");
    a.add("two");
    Hasher b;
    b.add("onetwo");
    Hasher c;
    c.add("onetwp");
    EXPECT_EQ(a.hex(), b.hex());
    EXPECT_NE(a.hex(), c.hex());
    EXPECT_EQ(a.hex().size(), 32);
}

}  // namespace
}  // namespace lowkey
