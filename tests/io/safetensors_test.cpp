#include "io/safetensors.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <numeric>
#include <utility>

#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

constexpr DType kAllDTypes[] = {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64,
                                DType::kI32, DType::kI16, DType::kI8,  DType::kU8,   DType::kBool};

class Safetensors : public TemporaryFolder {};

std::string u64(uint64_t value) {
    std::string bytes;
    for (int i = 0; i < 8; ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xff);
    return bytes;
}

// A file of this header, the right length before it, and this much data behind it.
std::string with_header(const std::string& header, size_t data_bytes = 0) {
    std::string data(data_bytes, '\0');
    std::iota(data.begin(), data.end(), '\0');
    return u64(header.size()) + header + data;
}

// A member of a header.
std::string tensor_info(const std::string& name, const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape,
                       offsets);
}

// A file whose header has these members.
std::string with_members(const std::vector<std::string>& members, size_t data_bytes) {
    return with_header(fmt::format("{{{}}}", fmt::join(members, ",")), data_bytes);
}

// A member for a tensor x.
std::string f32(const std::string& shape, const std::string& offsets) {
    return tensor_info("x", "F32", shape, offsets);
}

std::vector<std::byte> numbered_bytes(int64_t n, int64_t first) {
    std::vector<std::byte> bytes(static_cast<size_t>(n));
    for (std::byte& b : bytes) b = static_cast<std::byte>(first++ & 1);
    return bytes;
}

std::string bytes_of(const TensorView& view) {
    return {reinterpret_cast<const char*>(view.data), static_cast<size_t>(view.bytes())};
}

// ---- Reading what is right ----

TEST_F(Safetensors, EveryDTypeAndRankComesBackAsItWasWritten) {
    const Shape shapes[] = {{}, {0}, {3}, {2, 0, 4}, {5, 3}, {1, 2, 3, 4}};
    std::vector<std::vector<std::byte>> memory;
    std::map<std::string, TensorView> tensors;
    for (const DType dtype : kAllDTypes) {
        for (const Shape& shape : shapes) {
            const TensorView like{nullptr, dtype, shape};
            memory.push_back(numbered_bytes(like.bytes(), static_cast<int64_t>(memory.size())));
            tensors[std::string(dtype_name(dtype)) + to_string(shape)] = {memory.back().data(),
                                                                          dtype, shape};
        }
    }
    const std::map<std::string, std::string> metadata = {
        {"format", "pt"}, {"empty", ""}, {"text", "\"quoted\"\n\xc3\xa9"}};
    write_safetensors(path("a"), tensors, metadata);

    const SafetensorsFile file(path("a"));
    EXPECT_EQ(file.metadata(), metadata);
    ASSERT_EQ(file.tensors().size(), tensors.size());
    for (const auto& [name, written] : tensors) {
        const TensorView& view = file.tensor(name, written.dtype, written.shape);
        EXPECT_EQ(bytes_of(view), bytes_of(written)) << name;
        EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data) %
                      static_cast<uintptr_t>(dtype_bytes(view.dtype)),
                  0)
            << name;
    }
}

TEST_F(Safetensors, FileWithoutTensorsIsRead) {
    write_safetensors(path("a"), {});
    EXPECT_TRUE(SafetensorsFile(path("a")).tensors().empty());
    EXPECT_TRUE(SafetensorsFile(file("b", with_header("{}"))).metadata().empty());
    EXPECT_TRUE(
        SafetensorsFile(file("c", with_header(R"({"__metadata__":null}  )"))).metadata().empty());
}

TEST_F(Safetensors, EmptyTensorMayLieBetweenOthers) {
    const SafetensorsFile x(
        file("a", with_header(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                              R"("b":{"dtype":"F32","shape":[0,7],"data_offsets":[2,2]},)"
                              R"("c":{"dtype":"I8","shape":[1],"data_offsets":[2,3]}})",
                              3)));
    EXPECT_EQ(x.tensor("b").size(), 0);
    EXPECT_EQ(x.tensor("c").as<int8_t>()[0], 2);
}

TEST_F(Safetensors, DataThatIsNotAlignedInTheFileIsAlignedInMemory) {
    const std::string header =
        fmt::format("{{{},{}}}", f32("[2]", "[1,9]"), tensor_info("byte", "U8", "[1]", "[0,1]"));
    for (size_t padding = 0; padding < 8; ++padding) {
        SafetensorsFile opened(file("a", with_header(header + std::string(padding, ' '), 9)));
        const SafetensorsFile moved = std::move(opened);
        const TensorView& x = moved.tensor("x");
        EXPECT_EQ(reinterpret_cast<uintptr_t>(x.data) % 4, 0) << padding;
        EXPECT_EQ(bytes_of(x), std::string("\1\2\3\4\5\6\7\10")) << padding;
        EXPECT_EQ(bytes_of(moved.tensor("byte")), std::string(1, '\0')) << padding;
    }
}

TEST_F(Safetensors, UnknownDTypeIsRefusedOnlyWhenAskedFor) {
    const std::string good = f32("[1]", "[4,8]");
    for (const std::string dtype : {"F8_E4M3", "U32", "f32", "float32", ""}) {
        const std::string name =
            file("a", with_members({good, tensor_info("odd", dtype, "[4]", "[0,4]")}, 8));
        const SafetensorsFile x(name);
        EXPECT_TRUE(x.contains("x"));
        EXPECT_TRUE(x.contains("odd"));
        EXPECT_FALSE(x.tensors().contains("odd"));
        EXPECT_EQ(x.unsupported().at("odd").bytes.size(), 4);
        EXPECT_EQ(x.unsupported().at("odd").shape, Shape{4});
        EXPECT_EQ(x.tensor("x").size(), 1);
        const std::string message = message_of<UnsupportedError>([&] { (void)x.tensor("odd"); });
        EXPECT_THAT(message, HasSubstr(name));
        EXPECT_THAT(message, HasSubstr("'odd' has dtype " + dtype));
    }
}

TEST_F(Safetensors, AskingForAnotherTensorNamesBoth) {
    const std::string name = file("a", with_members({f32("[2,3]", "[0,24]")}, 24));
    const SafetensorsFile x(name);
    EXPECT_EQ(x.tensor("x", DType::kF32, {-1, 3}).dim(0), 2);
    EXPECT_THAT(message_of<FileError>([&] { (void)x.tensor("y"); }),
                HasSubstr("tensor 'y' is missing: " + name));
    const std::pair<DType, Shape> others[] = {
        {DType::kF16, {2, 3}}, {DType::kF32, {3, 2}}, {DType::kF32, {2, 3, 1}},
        {DType::kF32, {-1}},   {DType::kF32, {}},
    };
    for (const auto& other : others) {
        const std::string message =
            message_of<FileError>([&] { (void)x.tensor("x", other.first, other.second); });
        EXPECT_THAT(message, HasSubstr("tensor 'x' is f32 [2, 3], expected " +
                                       std::string(dtype_name(other.first)) + " " +
                                       to_string(other.second)));
        EXPECT_THAT(message, HasSubstr(name));
    }
}

// ---- Refusing what is wrong ----

struct BadFile {
    std::string title;
    std::string bytes;
    std::vector<std::string> expected;  // in the message, besides the path
};

std::vector<BadFile> bad_files() {
    const auto one = [](const std::string& shape, const std::string& offsets, size_t bytes) {
        return with_members({f32(shape, offsets)}, bytes);
    };
    // Two tensors of one f32 each, x at [0, 4) and y where told.
    const auto two = [](const std::string& offsets, size_t bytes) {
        return with_members({f32("[1]", "[0,4]"), tensor_info("y", "F32", "[1]", offsets)}, bytes);
    };
    const std::string deep = std::string(100000, '[');
    return {
        {"empty file", "", {"at least 8 bytes", "has 0"}},
        {"seven bytes", "1234567", {"at least 8 bytes", "has 7"}},
        {"header length 0", u64(0) + "{}", {"header would be 0 bytes", "1 to 100000000"}},
        {"header length 2^63", u64(uint64_t{1} << 63) + "{}", {"9223372036854775808"}},
        {"header length 2^64 - 1", u64(UINT64_MAX) + "{}", {"18446744073709551615"}},
        {"header length over the limit", u64(100'000'001) + "{}", {"100000001", "100000000"}},
        {"header longer than the file", u64(100) + "{}", {"truncated", "needs 108", "found 10"}},
        {"text", "<!DOCTYPE html><html></html>", {"not a safetensors file"}},
        {"Git LFS pointer",
         "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n",
         {"Git LFS pointer", "git lfs pull"}},

        {"no object", with_header("[]"), {"does not start with '{'"}},
        {"space before the object", with_header(" {}"), {"does not start with '{'"}},
        {"bad JSON", with_header("{\"x\":}"), {"not valid JSON"}},
        {"two documents", with_header("{}{}"), {"not valid JSON"}},
        {"zero byte behind the object", with_header(std::string("{}\0x", 4)), {"zero byte"}},
        {"bad UTF-8", with_header("{\"\xff\":1}"), {"not valid JSON"}},
        {"endless string", with_header("{\"" + std::string(100000, 'a')), {"not valid JSON"}},
        {"deep JSON", with_header("{\"x\":" + deep), {"nested deeper than 64"}},
        {"duplicate tensor",
         with_members({f32("[1]", "[0,4]"), f32("[1]", "[0,4]")}, 4),
         {"'x' is there twice"}},
        {"duplicate tensor, escaped",
         with_members({f32("[1]", "[0,4]"), R"("\u0078":{})"}, 4),
         {"'x' is there twice"}},
        {"duplicate offsets",
         with_header(
             R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,9],"data_offsets":[0,1]}})", 1),
         {"'data_offsets' is there twice"}},

        {"tensor is no object", with_header("{\"x\":1}"), {"x", "expected an object"}},
        {"no dtype", with_header(R"({"x":{"shape":[],"data_offsets":[0,4]}})", 4), {"x.dtype"}},
        {"dtype is a number",
         with_header(R"({"x":{"dtype":4,"shape":[],"data_offsets":[0,4]}})", 4),
         {"x.dtype", "expected a string"}},
        {"no shape", with_header(R"({"x":{"dtype":"F32","data_offsets":[0,4]}})", 4), {"x.shape"}},
        {"shape is a number", one("1", "[0,4]", 4), {"x.shape", "expected an array"}},
        {"shape of strings", one("[\"1\"]", "[0,4]", 4), {"x.shape[0]", "expected a number"}},
        {"half a size", one("[1.5]", "[0,4]", 4), {"x.shape[0]", "whole number"}},
        {"negative size", one("[-1]", "[0,4]", 4), {"x.shape[0]", "got -1"}},
        {"two negative sizes", one("[-1,-1]", "[0,4]", 4), {"x.shape[0]", "got -1"}},
        {"size 2^63", one("[9223372036854775808]", "[0,4]", 4), {"x.shape[0]"}},
        {"size 1e30", one("[1e30]", "[0,4]", 4), {"x.shape[0]"}},
        {"2^64 elements", one("[4294967296,4294967296]", "[0,0]", 0), {"'x'", "more than 2^63"}},
        {"2^62 elements", one("[4611686018427387904]", "[0,0]", 0), {"'x'", "more than 2^63"}},
        {"overflow times zero",
         one("[4294967296,4294967296,0]", "[0,0]", 0),
         {"'x'", "more than 2^63"}},

        {"no offsets", with_header(R"({"x":{"dtype":"F32","shape":[1]}})", 4), {"x.data_offsets"}},
        {"one offset", one("[1]", "[4]", 4), {"x.data_offsets", "got 1 numbers"}},
        {"three offsets", one("[1]", "[0,4,4]", 4), {"x.data_offsets", "got 3 numbers"}},
        {"negative offset", one("[1]", "[-4,0]", 4), {"x.data_offsets[0]", "got -4"}},
        {"offset 2^64 - 1",
         one("[1]", "[0,18446744073709551615]", 4),
         {"x.data_offsets[1]", "18446744073709551615"}},
        {"offsets that wrap", one("[1]", "[9223372036854775804,9223372036854775807]", 4), {"x"}},
        {"end before begin", one("[1]", "[4,0]", 4), {"'x' ends before it begins", "4, 0"}},
        {"too few bytes", one("[2]", "[0,4]", 4), {"'x' has 4 bytes", "f32 [2] needs 8"}},
        {"too many bytes", one("[1]", "[0,8]", 8), {"'x' has 8 bytes", "f32 [1] needs 4"}},
        {"empty with bytes", one("[0]", "[0,4]", 4), {"'x' has 4 bytes", "f32 [0] needs 0"}},
        {"scalar without bytes", one("[]", "[0,0]", 0), {"'x' has 0 bytes", "needs 4"}},

        {"hole at the start", one("[1]", "[4,8]", 8), {"'x' leaves a hole", "4 instead of 0"}},
        {"hole between", two("[8,12]", 12), {"'y' leaves a hole", "8 instead of 4"}},
        {"overlap", two("[2,6]", 8), {"'y' overlaps", "2 instead of 4"}},
        {"same bytes twice", two("[0,4]", 4), {"'y' overlaps", "0 instead of 4"}},
        {"empty inside another",
         with_members({f32("[1]", "[0,4]"), tensor_info("y", "F32", "[0]", "[2,2]")}, 4),
         {"'y' overlaps"}},
        {"unknown dtype out of range",
         with_header(R"({"x":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,1000]}})", 4),
         {"truncated", "'x'"}},
        {"no data", one("[1]", "[0,4]", 0), {"truncated", "66 bytes expected, found 62", "'x'"}},
        {"last byte missing", two("[4,8]", 7), {"truncated", "'y'"}},
        {"out of range",
         one("[1073741824]", "[0,4294967296]", 4),
         {"truncated", "4294967376 bytes expected", "'x'"}},
        {"byte behind the data",
         one("[1]", "[0,4]", 5),
         {"longer than its header says", "found 67"}},
        {"data without tensors", with_header("{}", 1), {"longer", "10 bytes expected, found 11"}},

        {"metadata is a list",
         with_header(R"({"__metadata__":[]})"),
         {"__metadata__", "an object"}},
        {"metadata of numbers",
         with_header(R"({"__metadata__":{"a":1}})"),
         {"__metadata__.a", "expected a string"}},
    };
}

TEST_F(Safetensors, MalformedFilesAreRefusedByName) {
    for (const BadFile& bad : bad_files()) {
        SCOPED_TRACE(bad.title);
        const std::string name = file("bad.safetensors", bad.bytes);
        const std::string message = message_of<FileError>([&] { SafetensorsFile x(name); });
        EXPECT_THAT(message, HasSubstr(name));
        EXPECT_THAT(message, HasSubstr("; ")) << "no remedy";
        EXPECT_LT(message.size(), 600);
        for (const std::string& part : bad.expected) EXPECT_THAT(message, HasSubstr(part));
    }
}

TEST_F(Safetensors, NamesInMessagesCannotControlTheTerminal) {
    const std::string name =
        file("a", with_members({tensor_info(R"(\u001b[2J\n\u007f)", "U8", "[2]", "[0,1]")}, 1));
    const std::string message = message_of<FileError>([&] { SafetensorsFile x(name); });
    EXPECT_THAT(message, HasSubstr("tensor ' [2J  ' has 1 bytes"));
}

TEST_F(Safetensors, EveryTruncationIsRefused) {
    const std::vector<std::byte> memory = numbered_bytes(24, 0);
    write_safetensors(path("whole"), {{"x", {memory.data(), DType::kF32, {2, 3}}}});
    const std::string whole = read("whole");
    for (size_t length = 0; length < whole.size(); ++length) {
        const std::string name = file("cut", whole.substr(0, length));
        EXPECT_THAT(message_of<FileError>([&] { SafetensorsFile x(name); }), HasSubstr(name))
            << length;
    }
}

TEST_F(Safetensors, MissingFileIsAFileError) {
    EXPECT_THROW(SafetensorsFile(path("missing")), FileError);
    EXPECT_THROW(SafetensorsFile(path("")), FileError);
}

// ---- Writing ----

TEST_F(Safetensors, WrittenBytesAreTheSameEachTimeAndAligned) {
    const std::vector<std::byte> memory = numbered_bytes(64, 0);
    const std::map<std::string, TensorView> tensors = {
        {"a", {memory.data(), DType::kU8, {3}}},
        {"b", {memory.data(), DType::kBF16, {3}}},
        {"c", {memory.data(), DType::kF64, {3}}},
        {"d", {memory.data(), DType::kF32, {3}}},
    };
    write_safetensors(path("1"), tensors, {{"z", "1"}, {"y", "2"}});
    write_safetensors(path("2"), tensors, {{"y", "2"}, {"z", "1"}});
    const std::string bytes = read("1");
    EXPECT_EQ(bytes, read("2"));
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, bytes.data(), 8);
    EXPECT_EQ((8 + header_bytes) % 64, 0);
    EXPECT_EQ(bytes.size(), 8 + header_bytes + 3 * (1 + 2 + 8 + 4));
    EXPECT_EQ(bytes[8], '{');
}

TEST_F(Safetensors, AFileCanBeReplacedByWhatWasReadFromIt) {
    const std::vector<std::byte> memory = numbered_bytes(8, 0);
    write_safetensors(path("a"), {{"x", {memory.data(), DType::kI64, {1}}}});
    const SafetensorsFile before(path("a"));
    write_safetensors(path("a"), before.tensors(), {{"copy", "yes"}});
    const SafetensorsFile after(path("a"));
    EXPECT_EQ(after.metadata().at("copy"), "yes");
    EXPECT_EQ(bytes_of(after.tensor("x")), bytes_of(before.tensor("x")));
}

TEST_F(Safetensors, TextThatIsNotUtf8IsReplacedInMetadataAndRefusedInNames) {
    const std::byte byte{1};
    write_safetensors(path("a"), {}, {{"path", "caf\xe9"}});
    EXPECT_EQ(SafetensorsFile(path("a")).metadata().at("path"), "caf\xef\xbf\xbd");
    EXPECT_THAT(message_of<FileError>([&] {
                    write_safetensors(path("b"), {{"\xe9", {&byte, DType::kU8, {1}}}});
                }),
                HasSubstr(path("b")));
    EXPECT_EQ(num_files(), 1);
}

TEST_F(Safetensors, AFailedWriteLeavesNothingBehind) {
    const std::vector<std::byte> memory = numbered_bytes(1 << 16, 0);
    const std::map<std::string, TensorView> tensors = {
        {"x", {memory.data(), DType::kU8, {1 << 16}}}};
    for (const std::string& bad : {path("no/such/folder"), path("")}) {
        EXPECT_THAT(message_of<FileError>([&] { write_safetensors(bad, tensors); }),
                    HasSubstr(bad));
    }
    EXPECT_EQ(num_files(), 0);

    const std::string old = file("old", "old");
    // As on a full disk: the file may not grow over 4 KiB.
    struct rlimit before = {};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit small = {4096, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    const std::string message = message_of<FileError>([&] { write_safetensors(old, tensors); });
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    EXPECT_THAT(message, HasSubstr(old));
    EXPECT_EQ(num_files(), 1);
    EXPECT_EQ(read("old"), "old");
}

}  // namespace
}  // namespace lowkey
