#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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
