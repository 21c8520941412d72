#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "base/atomic_file.h"
#include "base/descriptor.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/line_file.h"
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

std::string contents(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

void write_whole(const std::string& path, const std::string& text) {
    AtomicFile file(path);
    file.write(text);
    file.commit();
}

mode_t mode_of(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
}

TEST_F(Files, NewFilesTakeTheUmaskAndReplacedOnesKeepTheirPermissions) {
    for (const mode_t mask : {022, 077, 002}) {
        const mode_t before = ::umask(mask);
        write_whole(path("new"), "a");
        ::umask(before);
        EXPECT_EQ(mode_of(path("new")), 0666 & ~mask);
        fs::remove(path("new"));
    }
    std::ofstream(path("private")) << "a";
    for (const mode_t mode : {0600, 0640, 0664}) {
        ::chmod(path("private").c_str(), mode);
        write_whole(path("private"), "b");
        EXPECT_EQ(mode_of(path("private")), mode);
    }
}

TEST_F(Files, OfALinkTheTargetIsReplaced) {
    fs::create_directory(path("folder"));
    std::ofstream(path("folder/target")) << "old";
    fs::create_symlink("folder/target", path("link"));
    fs::create_symlink(path("link"), path("second"));
    write_whole(path("second"), "new");
    EXPECT_TRUE(fs::is_symlink(path("link")));
    EXPECT_TRUE(fs::is_symlink(path("second")));
    EXPECT_EQ(contents(path("folder/target")), "new");
    fs::create_symlink("folder/none", path("dangling"));
    write_whole(path("dangling"), "new");
    EXPECT_EQ(contents(path("folder/none")), "new");
    fs::create_symlink("loop", path("loop"));
    EXPECT_THROW(check_writable(path("loop")), FileError);
}

TEST_F(Files, WhatIsNoRegularFileIsWrittenInto) {
    ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
    check_writable(path("pipe"));  // without waiting, or being noticed
    std::string got;
    std::thread reader([&] { got = contents(path("pipe")); });
    write_whole(path("pipe"), "through");
    reader.join();
    EXPECT_EQ(got, "through");
    EXPECT_TRUE(fs::is_fifo(path("pipe")));
    EXPECT_EQ(count(), 1);
}

TEST_F(Files, OpenFilesByNumberAreWrittenInto) {
    const Descriptor file(::open(path("log").c_str(), O_RDWR | O_CREAT | O_APPEND, 0600));
    ASSERT_EQ(::write(file.get(), "a", 1), 1);
    write_whole("/dev/fd/" + std::to_string(file.get()), "b");
    EXPECT_EQ(contents(path("log")), "ab");
    EXPECT_EQ(descriptor_of("/dev/stdout"), STDOUT_FILENO);
    EXPECT_EQ(descriptor_of("/proc/self/fd/12"), 12);
    for (const char* none : {"/dev/fd/", "/dev/fd/x", "/dev/fd/1/a", "/dev/null", "stdin"})
        EXPECT_EQ(descriptor_of(none), std::nullopt) << none;
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

TEST_F(Files, LinesAreThereOnceAdded) {
    LineFile file(path("lines"));
    EXPECT_TRUE(file.lock());
    file.add("one");
    file.add("");
    EXPECT_EQ(contents(path("lines")), "one\n\n");
    {
        LineFile other(path("lines"));
        EXPECT_FALSE(other.lock()) << "one writer at a time";
    }
    file.cut(4);
    file.add("two");
    EXPECT_EQ(contents(path("lines")), "one\ntwo\n");
    EXPECT_THROW(LineFile(path("missing/lines")), FileError);
    LineFile full("/dev/full");
    EXPECT_THROW(full.add("three"), FileError);
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

TEST_F(Files, WhatMightWaitForOthersIsNoFile) {
    ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
    const Descriptor socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    path("socket").copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    fs::create_symlink("pipe", path("link"));
    for (const std::string& bad :
         {path("pipe"), path("socket"), path("."), path("link"), std::string("/dev/null")}) {
        for (const auto& attempt : std::vector<std::function<void()>>{
                 [&] { MappedFile file(bad); }, [&] { static_cast<void>(read_text(bad)); },
                 [&] { static_cast<void>(open_regular(bad)); }}) {
            try {
                attempt();
                FAIL() << bad;
            } catch (const FileError& e) {
                EXPECT_NE(std::string(e.what()).find("not a regular file: " + bad),
                          std::string::npos)
                    << e.what();
            }
        }
    }
}

TEST_F(Files, TextsMayComeFromOpenStreams) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const Descriptor reading(ends[0]);
    {
        const Descriptor writing(ends[1]);
        ASSERT_EQ(::write(writing.get(), "words", 5), 5);
    }
    EXPECT_EQ(read_text("/dev/fd/" + std::to_string(reading.get())), "words");
    std::ofstream(path("text")) << "of a file";
    EXPECT_EQ(read_text(path("text")), "of a file");
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
