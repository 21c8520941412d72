#include <gmock/gmock.h>

#include "tests/jinja/render.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

std::string reading(const std::string& text) {
    try {
        jinja::from_json(text, "f.json");
        return "read";
    } catch (const FileError& error) {
        return error.what();
    }
}

TEST(FromJson, KeepsOrderAndTypes) {
    const std::string document =
        R"({"z": 1, "a": -2, "f": 1.0, "e": 1e2, "n": null, "t": true, "l": [[], {}], "é": "\ud83d\ude00\u0000"})";
    EXPECT_EQ(
        render("{{ v|tojson }}", R"({"v": )" + document + "}"),
        R"({"z": 1, "a": -2, "f": 1.0, "e": 100.0, "n": null, "t": true, "l": [[], {}], "é": "😀\u0000"})");
}

TEST(FromJson, TheLastOfEqualKeysCountsAtThePlaceOfTheFirst) {
    EXPECT_EQ(render("{{ v }}", R"({"v": {"a": 1, "b": 2, "a": 3}})"), "{'a': 3, 'b': 2}");
}

TEST(FromJson, RefusesWhatItCannotHold) {
    EXPECT_THAT(reading("{"), HasSubstr("not valid JSON (parse error"));
    EXPECT_THAT(reading("{"), HasSubstr("f.json"));
    EXPECT_THAT(reading("[1] x"), HasSubstr("not valid JSON"));
    EXPECT_THAT(reading(""), HasSubstr("not valid JSON"));
    EXPECT_THAT(reading("\"\xff\""), HasSubstr("not valid JSON"));
    EXPECT_THAT(reading("\"\\ud800\""), HasSubstr("not valid JSON"));
    EXPECT_THAT(reading(std::string("1\0", 2)), HasSubstr("zero byte"));
    EXPECT_THAT(reading("9223372036854775808"), HasSubstr("an integer beyond 64 bits"));
    EXPECT_THAT(reading("-9223372036854775809"), HasSubstr("an integer beyond 64 bits"));
    EXPECT_THAT(reading(std::string(101, '[')), HasSubstr("deeper than 100 levels"));
    EXPECT_EQ(reading(std::string(100, '[') + std::string(100, ']')), "read");
    EXPECT_EQ(reading("-9223372036854775808"), "read");
}

}  // namespace
}  // namespace lowkey
