#include "io/json_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class JsonLines : public TemporaryFolder {
protected:
    [[nodiscard]] static std::vector<int64_t> values(const std::string& path, size_t most = 100) {
        std::vector<int64_t> out;
        read_json_lines(path, [&](const JsonReader& line) {
            out.push_back(line.at("x").integer(0, 1000));
            return out.size() < most;
        });
        return out;
    }
};

TEST_F(JsonLines, AreReadInOrderUntilTheCallerHasEnough) {
    const std::string path = file("a.jsonl", "{\"x\":1}\n{\"x\":2}\r\n\n  \n{\"x\":3}");
    EXPECT_THAT(values(path), ElementsAre(1, 2, 3));
    EXPECT_THAT(values(path, 2), ElementsAre(1, 2));
    EXPECT_THAT(values(file("newline", "{\"x\":4}\n")), ElementsAre(4));
    EXPECT_THAT(values(file("empty", "")), IsEmpty());
    EXPECT_THAT(values(file("blank", "\n\n")), IsEmpty());
}

TEST_F(JsonLines, LinesBehindThoseThatAreWantedAreNotParsed) {
    EXPECT_THAT(values(file("a.jsonl", "{\"x\":1}\nnonsense"), 1), ElementsAre(1));
}

TEST_F(JsonLines, MistakesNameFileAndLine) {
    const auto refusal = [&](const std::string& text) {
        const std::string path = file("bad.jsonl", text);
        return message_of<FileError>([&] { (void)values(path); });
    };
    EXPECT_THAT(refusal("{\"x\":1}\n\n{\"x\":\n"), HasSubstr("bad.jsonl:3;"));
    EXPECT_THAT(refusal("{\"x\":1} {\"x\":2}\n"), HasSubstr("bad.jsonl:1;"));
    EXPECT_THAT(refusal("{\"x\":1}\n{\"y\":2}\n"), HasSubstr("key 'x' is missing: "));
    EXPECT_THAT(refusal("{\"x\":1}\n{\"y\":2}\n"), HasSubstr("bad.jsonl:2;"));
    EXPECT_THAT(refusal("{\"x\":1}\n{\"x\":\"2\"}\n"), HasSubstr("bad.jsonl:2, x;"));
    EXPECT_THAT(refusal("[1]\n"), HasSubstr("bad.jsonl:1;"));
    EXPECT_THAT(refusal(std::string("{\"x\":1}\n\0\n", 10)), HasSubstr("bad.jsonl:2;"));
    EXPECT_THAT(message_of<FileError>([&] { (void)values(path("missing.jsonl")); }),
                HasSubstr("missing.jsonl"));
}

}  // namespace
}  // namespace lowkey
