#include "engine/stop_strings.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace lowkey {
namespace {

/// What comes out of text that comes in pieces of `size` bytes.
std::string filter(const std::vector<std::string>& stop, const std::string& text, size_t size) {
    StopStrings strings(stop);
    std::string out;
    for (size_t i = 0; i < text.size(); i += size) out += strings.push(text.substr(i, size));
    return out + strings.finish();
}

TEST(StopStrings, CutAtTheFirstHoweverTextIsSplit) {
    for (size_t size = 1; size <= 20; ++size) {
        EXPECT_EQ(filter({"\n\nUser:", "END"}, "one\n\nUse\n\nUser: ENDs", size), "one\n\nUse");
        EXPECT_EQ(filter({"\n\nUser:", "END"}, "one ENDs\n\nUser:", size), "one ");
        EXPECT_EQ(filter({"aab"}, "aaaab", size), "aa") << "an overlap with itself";
        EXPECT_EQ(filter({"xyz"}, "nothing, but ends in xy", size), "nothing, but ends in xy");
        EXPECT_EQ(filter({}, "no stop strings", size), "no stop strings");
        EXPECT_EQ(filter({"stop"}, "stop", size), "");
    }
}

TEST(StopStrings, EarliestWinsOverFirstNamed) {
    EXPECT_EQ(filter({"later", "so"}, "sooner or later", 100), "");
    EXPECT_EQ(filter({"long stop", "stop"}, "a long stop", 100), "a ");
}

TEST(StopStrings, HoldOnlyWhatMayBegin) {
    StopStrings strings({"abc"});
    EXPECT_EQ(strings.push("xxab"), "xx");
    EXPECT_EQ(strings.push("ab"), "ab");
    EXPECT_FALSE(strings.found());
    EXPECT_EQ(strings.push("cd"), "");
    EXPECT_TRUE(strings.found());
    EXPECT_EQ(strings.push("more"), "");
    EXPECT_EQ(strings.finish(), "");
}

TEST(StopStrings, KeepCharactersWhole) {
    StopStrings strings({"é!"});
    EXPECT_EQ(strings.push("caf"), "caf");
    EXPECT_EQ(strings.push("é"), "");
    EXPECT_EQ(strings.push("?"), "é?");
}

TEST(StopStrings, RefuseEmptyOnesAndBrokenUtf8) {
    EXPECT_THROW(StopStrings({"ok", ""}), UsageError);
    EXPECT_THROW(StopStrings({"\xa9x"}), UsageError);
}

}  // namespace
}  // namespace lowkey
