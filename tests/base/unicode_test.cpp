#include "base/unicode.h"

#include <gtest/gtest.h>

#include <random>

namespace lowkey {
namespace {

std::string repaired(std::string_view bytes) {
    std::string storage;
    return std::string(valid_utf8(bytes, storage));
}

TEST(ValidUtf8, ReplacesMaximalInvalidParts) {
    const std::string r = "\uFFFD";
    EXPECT_EQ(repaired("plain, long enough for eight bytes at once"),
              "plain, long enough for eight bytes at once");
    EXPECT_EQ(repaired("\x80\xFFz"), r + r + "z");
    EXPECT_EQ(repaired("\xC2"), r);
    EXPECT_EQ(repaired("\xE1\x80\xC2\x80"), r + "\xC2\x80");
    EXPECT_EQ(repaired("\xE0\x80\x80"), r + r + r);              // overlong
    EXPECT_EQ(repaired("\xED\xBF\xBF"), r + r + r);              // a surrogate
    EXPECT_EQ(repaired("\xF1\x80\x80\xE1\x80\xC0"), r + r + r);  // the Unicode standard, table 3-8
    EXPECT_EQ(repaired(std::string_view("a\0b", 3)), std::string("a\0b", 3));
}

TEST(ValidUtf8, LeavesEveryCodePoint) {
    for (char32_t c = 0; c < 0x110000; ++c) {
        if (c >= 0xD800 && c < 0xE000) continue;
        std::string text;
        append_utf8(text, c);
        ASSERT_EQ(repaired(text), text) << static_cast<uint32_t>(c);
        ASSERT_TRUE(first_code_point(text) == c);
        ASSERT_TRUE(last_code_point("x" + text) == c);
    }
}

TEST(Characters, AreCountedAndFoundByTheirPlace) {
    const std::string text = "aé東\U0001F600b";  // 1 + 2 + 3 + 4 + 1 bytes
    EXPECT_EQ(num_characters(text), 5);
    EXPECT_EQ(num_characters(""), 0);
    const size_t begins[] = {0, 1, 3, 6, 10, 11};
    for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(byte_of_character(text, i), begins[i]) << i;
    EXPECT_EQ(byte_of_character(text, 9), text.size());
    size_t pos = 3;
    EXPECT_EQ(next_character(text, pos), "東");
    EXPECT_EQ(pos, 6);
}

TEST(Characters, AnIncompleteOneIsATail) {
    EXPECT_EQ(incomplete_tail(""), 0);
    EXPECT_EQ(incomplete_tail("ab東"), 0);
    const std::string_view grin = "\U0001F600";
    for (size_t bytes = 1; bytes < 4; ++bytes)
        EXPECT_EQ(incomplete_tail("a" + std::string(grin.substr(0, bytes))), bytes);
    EXPECT_EQ(incomplete_tail("a\x80"), 0) << "begins nothing";
    EXPECT_EQ(incomplete_tail("\x80\x80\x80"), 0);
    EXPECT_EQ(incomplete_tail("\xED\xA0"), 0) << "a surrogate is no character";
}

TEST(Normalize, FollowsTheStandard) {
    EXPECT_EQ(normalize("", NormalForm::kNfc), "");
    EXPECT_EQ(normalize("e\u0301", NormalForm::kNfc), "\u00E9");
    EXPECT_EQ(normalize("\u00E9", NormalForm::kNfd), "e\u0301");
    EXPECT_EQ(normalize("q\u0307\u0323 s\u0307\u0323y", NormalForm::kNfc), "q\u0323\u0307 \u1E69y");
    EXPECT_EQ(normalize("\uFB01\u00BD", NormalForm::kNfc), "\uFB01\u00BD");
    EXPECT_EQ(normalize("\uFB01\u00BD", NormalForm::kNfkc), "fi1\u20442");
    EXPECT_EQ(normalize("\u1112\u1161\u11AB", NormalForm::kNfc), "\uD55C");
    EXPECT_EQ(normalize("\uD55C", NormalForm::kNfkd), "\u1112\u1161\u11AB");
    EXPECT_EQ(normalize("\uFDFA", NormalForm::kNfkd).size(), 33);  // the longest expansion
}

// Text in ASCII around is not looked at: it must not matter where it is.
TEST(Normalize, OfPartsBetweenAsciiIsThatOfTheWhole) {
    std::mt19937 random(3);
    const char* const units[] = {"a", "e",      "\u0301", "\u0323", "\u00E9",
                                 " ", "\u1100", "\u1161", "q"};
    for (int i = 0; i < 500; ++i) {
        std::string text;
        for (int k = 0; k < 20; ++k) text += units[random() % std::size(units)];
        const std::string composed = normalize(text, NormalForm::kNfc);
        EXPECT_EQ(normalize(composed, NormalForm::kNfc), composed);
        EXPECT_EQ(normalize(normalize(text, NormalForm::kNfd), NormalForm::kNfc), composed);
        EXPECT_EQ(normalize(text + "\n", NormalForm::kNfc), composed + "\n");
    }
}

TEST(Lowercase, IsByCharacter) { EXPECT_EQ(to_lowercase("ÀΣ ΣΊΣ ẞ\u0130I"), "àσ σίσ ßi\u0307i"); }

TEST(CharacterClasses, AreThoseOfUnicode) {
    for (const char32_t c : {U'a', U'É', U'ß', U'東', U'\u01C5'}) EXPECT_TRUE(is_letter(c));
    for (const char32_t c : {U'1', U' ', U'-', U'\u0301'}) EXPECT_FALSE(is_letter(c));
    EXPECT_TRUE(is_decimal(U'٣'));
    EXPECT_FALSE(is_decimal(U'½'));
    EXPECT_TRUE(is_upper(U'É') && !is_lower(U'É') && !is_title(U'É'));
    EXPECT_TRUE(is_lower(U'ß') && !is_upper(U'ß'));
    EXPECT_TRUE(is_title(U'\u01C5') && !is_lower(U'\u01C5') && !is_upper(U'\u01C5'));
    EXPECT_FALSE(is_upper(U'東') || is_lower(U'東'));
    for (const char32_t c : {U' ', U'~', U'é', U'\U0001F600'}) EXPECT_TRUE(is_printable(c));
    for (const char32_t c : {U'\n', U'\x7F', U'\u00A0', U'\u200B', U'\uE000', U'\u2028'})
        EXPECT_FALSE(is_printable(c));
    EXPECT_EQ(to_upper(U'é'), U'É');
    EXPECT_EQ(to_lower(U'Σ'), U'σ');
    EXPECT_EQ(to_title(U'\u01C6'), U'\u01C5');
    EXPECT_EQ(to_upper(U'1'), U'1');
}

}  // namespace
}  // namespace lowkey
