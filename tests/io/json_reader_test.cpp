#include "io/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JsonFile : public TemporaryFolder {};

std::string nested(int depth) {
    return std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']');
}

TEST(JsonReader, ReadsEachType) {
    const json document = parse_json(
        R"({"s":"text","b":true,"i":-3,"f":2.5,"whole":5.0,"n":null,"a":[1,2],"o":{"x":1}})", "f");
    const JsonReader root(document, "f");
    EXPECT_EQ(root.at("s").string(), "text");
    EXPECT_TRUE(root.at("b").boolean());
    EXPECT_EQ(root.at("i").integer(-10, 10), -3);
    EXPECT_EQ(root.at("f").number(), 2.5);
    EXPECT_EQ(root.at("whole").integer(0, 10), 5);
    EXPECT_TRUE(root.at("n").is_null());
    EXPECT_EQ(root.at("a").items().at(1).integer(0, 9), 2);
    EXPECT_EQ(root.at("o").members().at(0).first, "x");
    EXPECT_TRUE(root.at("s").is_string());
    EXPECT_TRUE(root.at("b").is_boolean());
    EXPECT_TRUE(root.at("f").is_number());
    EXPECT_TRUE(root.at("a").is_array());
    EXPECT_TRUE(root.is_object());
    EXPECT_EQ(root.file(), "f");
    EXPECT_EQ(&root.value(), &document);
}

TEST(JsonReader, TakesThePythonNumbersThatNobodyNeeds) {
    const json document = parse_json(
        R"({"a": Infinity, "b": [-Infinity, NaN], "c": "NaN, \"Infinity", "n": 3, "NaN": 0.5})",
        "f");
    const JsonReader root(document, "f");
    EXPECT_EQ(root.at("c").string(), "NaN, \"Infinity");
    EXPECT_EQ(root.at("n").integer(0, 9), 3);
    EXPECT_EQ(root.at("NaN").number(), 0.5);
    EXPECT_TRUE(root.at("b").items().at(1).is_number());
    for (const JsonReader& bad : {root.at("a"), root.at("b").items().at(0)}) {
        EXPECT_THAT(message_of<FileError>([&] { (void)bad.number(); }), HasSubstr("finite"));
        EXPECT_THAT(message_of<FileError>([&] { (void)bad.integer(0, 9); }), HasSubstr("finite"));
        EXPECT_THAT(message_of<FileError>([&] { (void)bad.string(); }), HasSubstr("string"));
    }
    for (const char* text : {"Infinit", "[NaN,]", "{NaN: 1}", "\"NaN", "--Infinity", "+NaN"}) {
        EXPECT_THROW(parse_json(text, "f"), FileError) << text;
    }
    EXPECT_THROW(parse_json(R"({"x": NaN, "x": 1})", "f", DuplicateKeys::kRefuse), FileError);
    EXPECT_THROW(parse_json(nested(65).insert(65, "NaN"), "f"), FileError);
}

TEST(JsonReader, NullCountsAsAbsentWhereAMemberMayBeMissing) {
    const json document = parse_json(R"({"n":null,"s":"x","b":true,"f":0.5,"i":7})", "f");
    const JsonReader root(document, "f");
    EXPECT_FALSE(root.has("n"));
    EXPECT_FALSE(root.has("missing"));
    EXPECT_FALSE(root.at("s").has("s"));
    EXPECT_FALSE(root.find("n").has_value());
    EXPECT_TRUE(root.find("s").has_value());
    for (const char* key : {"n", "missing"}) {
        EXPECT_EQ(root.string_or(key, "d"), "d");
        EXPECT_TRUE(root.boolean_or(key, true));
        EXPECT_EQ(root.number_or(key, 1.5), 1.5);
        EXPECT_EQ(root.integer_or(key, 3, 0, 9), 3);
    }
    EXPECT_EQ(root.string_or("s", "d"), "x");
    EXPECT_TRUE(root.boolean_or("b", false));
    EXPECT_EQ(root.number_or("f", 1.5), 0.5);
    EXPECT_EQ(root.integer_or("i", 3, 0, 9), 7);
    EXPECT_THROW((void)root.string_or("i", "d"), FileError);
}

TEST(JsonReader, WrongTypesAreErrorsThatNameFileAndPath) {
    const json document = parse_json(R"({"layers":[{},{"rank":"8"}],"x":1})", "dir/a.json");
    const JsonReader root(document, "dir/a.json");
    const JsonReader rank = root.at("layers").items().at(1).at("rank");
    const auto expect = [](const std::string& message, const std::string& what,
                           const std::string& where) {
        EXPECT_THAT(message, HasSubstr(what + ": dir/a.json" + where + "; "));
    };
    const std::string at_rank = ", layers[1].rank";
    expect(message_of<FileError>([&] { (void)rank.integer(0, 9); }),
           "expected a number, got string", at_rank);
    expect(message_of<FileError>([&] { (void)rank.number(); }), "expected a number, got string",
           at_rank);
    expect(message_of<FileError>([&] { (void)rank.boolean(); }),
           "expected true or false, got string", at_rank);
    expect(message_of<FileError>([&] { (void)rank.items(); }), "expected an array, got string",
           at_rank);
    expect(message_of<FileError>([&] { (void)rank.members(); }), "expected an object, got string",
           at_rank);
    expect(message_of<FileError>([&] { (void)rank.at("y"); }), "expected an object, got string",
           at_rank);
    expect(message_of<FileError>([&] { (void)root.at("x").string(); }),
           "expected a string, got number", ", x");
    expect(message_of<FileError>([&] { (void)root.at("y"); }), "key 'y' is missing", "");
    expect(message_of<FileError>([&] { rank.fail("wrong", "fix it"); }), "wrong", at_rank);
}

TEST(JsonReader, IntegersKeepToTheirRange) {
    const json document = parse_json(
        R"([-1,10,1.5,9223372036854775807,9223372036854775808,-9223372036854775808,1e300,1e16])",
        "f");
    const auto items = JsonReader(document, "f").items();
    EXPECT_THAT(message_of<FileError>([&] { (void)items[0].integer(0, 9); }),
                HasSubstr("from 0 to 9, got -1: f, [0]"));
    EXPECT_THROW((void)items[1].integer(0, 9), FileError);
    EXPECT_THROW((void)items[2].integer(0, 9), FileError);
    EXPECT_EQ(items[3].integer(0, INT64_MAX), INT64_MAX);
    EXPECT_THROW((void)items[4].integer(INT64_MIN, INT64_MAX), FileError);
    EXPECT_EQ(items[5].integer(INT64_MIN, INT64_MAX), INT64_MIN);
    EXPECT_THROW((void)items[6].integer(INT64_MIN, INT64_MAX), FileError);
    EXPECT_THROW((void)items[7].integer(INT64_MIN, INT64_MAX), FileError);
}

TEST(JsonReader, MembersAreSortedByName) {
    const json document = parse_json(R"({"b":1,"c":2,"a":3})", "f");
    std::vector<std::string> names;
    for (const auto& [name, member] : JsonReader(document, "f").members()) names.push_back(name);
    EXPECT_THAT(names, ElementsAre("a", "b", "c"));
}

TEST(ParseJson, RefusesWhatIsNotJson) {
    const std::string bad[] = {"",
                               " ",
                               "{",
                               "{\"a\":1,}",
                               "[1,]",
                               "{'a':1}",
                               "nul",
                               "01",
                               "1 2",
                               "{}x",
                               "[1e999]",
                               "\"\xff\"",
                               "\"\\ud800\"",
                               "NaN",
                               "// no\n1",
                               "\"a\nb\"",
                               std::string("1\0", 2)};
    for (const std::string& text : bad) {
        EXPECT_THAT(message_of<FileError>([&] { (void)parse_json(text, "dir/a.json"); }),
                    HasSubstr(": dir/a.json; "))
            << text;
    }
}

TEST(ParseJson, NamesTheByteAndQuotesLittle) {
    EXPECT_THAT(message_of<FileError>([] { (void)parse_json("{\"a\":\n?}", "f"); }),
                HasSubstr("line 2, column 1"));
    const std::string zero("{}\0junk", 7);
    EXPECT_THAT(message_of<FileError>([&] { (void)parse_json(zero, "f"); }),
                HasSubstr("zero byte at byte 3"));
    const std::string endless = "\"" + std::string(1 << 20, 'a');
    EXPECT_LT(message_of<FileError>([&] { (void)parse_json(endless, "f"); }).size(), 400);
}

TEST(ParseJson, DepthIsLimited) {
    EXPECT_NO_THROW((void)parse_json(nested(64), "f"));
    for (const int depth : {65, 1000, 1000000}) {
        EXPECT_THAT(message_of<FileError>([&] { (void)parse_json(nested(depth), "f"); }),
                    HasSubstr("deeper than 64"));
    }
    const std::string open(1000000, '[');
    EXPECT_THROW((void)parse_json(open, "f"), FileError);
    std::string objects;
    for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
    EXPECT_THROW((void)parse_json(objects, "f"), FileError);
}

TEST(ParseJson, DuplicateKeysTakeTheLastValueOrAreRefused) {
    const std::string twice = R"({"a":{"x":1},"b":{"x":2,"y":[{"x":3}],"x":4}})";
    EXPECT_EQ(parse_json(twice, "f").at("b").at("x"), 4);
    EXPECT_THAT(
        message_of<FileError>([&] { (void)parse_json(twice, "f", DuplicateKeys::kRefuse); }),
        HasSubstr("key 'x' is there twice: f; "));
    EXPECT_NO_THROW((void)parse_json(R"({"a":{"x":1},"b":[{"x":1},{"x":2}],"x":3})", "f",
                                     DuplicateKeys::kRefuse));
}

TEST_F(JsonFile, IsReadUpToALimit) {
    const std::string name = file("a.json", R"({"a": 1})");
    EXPECT_EQ(read_json_file(name).at("a"), 1);
    EXPECT_NO_THROW((void)read_json_file(name, 8));
    EXPECT_THAT(message_of<FileError>([&] { (void)read_json_file(name, 7); }), HasSubstr(name));
    EXPECT_THROW((void)read_json_file(path("missing")), FileError);
    EXPECT_THROW((void)read_json_file(file("empty", "")), FileError);
}

}  // namespace
}  // namespace lowkey
