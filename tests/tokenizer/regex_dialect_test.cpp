#include "tokenizer/regex_dialect.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tokenizer/regex.h"

namespace lowkey {
namespace {

TEST(RegexDialect, LeavesWhatBothKnow) {
    for (const char* same :
         {"", "a|b*c+?", "(?i:'s|'t)", "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+", "\\p{N}{1,3}",
          "(?!x)(?<=y)", "[!-/:-~]", "\\d+\\.", "[]a]", "x{", "x{,}", "{1}?"}) {
        EXPECT_EQ(to_pcre2(same), std::string(same) == "{1}?" ? "(?:{1})?" : same);
    }
}

TEST(RegexDialect, TranslatesWhatDiffers) {
    EXPECT_EQ(to_pcre2("\\s[^\\s]\\S"), "\\p{White_Space}[^\\p{White_Space}]\\P{White_Space}");
    EXPECT_EQ(to_pcre2("a\\d{1,3}+"), "a(?:\\d{1,3})+");
    EXPECT_EQ(to_pcre2("(ab){2}?"), "(?:(ab){2})?");
    EXPECT_EQ(to_pcre2("[ab]{2,3}?"), "[ab]{2,3}?");  // lazy in both
    EXPECT_EQ(to_pcre2("a{,4}"), "a{0,4}");
    EXPECT_EQ(to_pcre2("[a[bc]d]"), "[abcd]");
    EXPECT_EQ(to_pcre2("(?mi:a)"), "(?si:a)");
    EXPECT_EQ(to_pcre2("\\u00e9\\h"), "\\x{00e9}[0-9a-fA-F]");
}

TEST(RegexDialect, RefusesWhatHasNoCounterpart) {
    for (const char* bad : {"[a&&b]", "[a[^b]]", "[\\W]", "(*UTF)", "\\Qa\\E", "\\K\\C", "\\",
                            "\\u12", "\\p{L", "[[:alpha", "[\\"}) {
        EXPECT_THROW(to_pcre2(bad), DialectError) << bad;
    }
}

TEST(Regex, MalformedPatternsAreErrors) {
    for (const char* bad : {"(", ")", "a{2,1}", "[z-a]", "*", "\\p{Nowhere}", "(?<n>a)(?<n>b)"})
        EXPECT_THROW(Regex(bad, "file"), FileError) << bad;
    EXPECT_THROW(Regex(std::string(100'000, 'a'), "file"), FileError);
    EXPECT_THROW(Regex(std::string(100'000, '('), "file"), FileError);
}

// U+180E was white space until Unicode 6.3, and is in PCRE2's own \s.
TEST(Regex, WhiteSpaceIsThatOfUnicode) {
    const Regex regex("\\s", "test");
    RegexMatcher matcher(regex);
    EXPECT_TRUE(matcher.find("a\u3000", 0));
    EXPECT_TRUE(matcher.find("a\u0085", 0));
    EXPECT_FALSE(matcher.find("a\u180E\u200B", 0));
}

TEST(Regex, FindsMatchesFarAway) {
    const Regex regex("(?<=é)b", "test");
    RegexMatcher matcher(regex);
    std::string text;
    for (int i = 0; i < 3000; ++i) text += "é你";
    EXPECT_FALSE(matcher.find(text, 0));
    const auto match = matcher.find(text + "éb", 0);
    ASSERT_TRUE(match);
    EXPECT_EQ(match->begin, text.size() + 2);
    EXPECT_EQ(match->end, text.size() + 3);
}

}  // namespace
}  // namespace lowkey
