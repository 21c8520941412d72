// Regular expressions and normal forms against what the library `tokenizers` makes of them (see
// make_regex_cases.py).
#include "tokenizer/regex.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/unicode.h"
#include "tokenizer/regex_dialect.h"

namespace lowkey {
namespace {

nlohmann::json recorded() {
    std::ifstream in(std::string(LOWKEY_TEST_DATA) + "/tokenizers/regexes.json");
    return nlohmann::json::parse(in);
}

std::string utf8(char32_t c) {
    std::string text;
    append_utf8(text, c);
    return text;
}

class Digest {
public:
    void add(char32_t number) {
        for (const int shift : {0, 8, 16})
            value_ = (value_ ^ (number >> shift & 0xFF)) * 0x100000001B3ULL;
    }
    [[nodiscard]] std::string hex() const {
        char text[17];
        std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value_));
        return text;
    }

private:
    uint64_t value_ = 0xCBF29CE484222325ULL;
};

template <typename OnCodePoint>
void for_each_code_point(const OnCodePoint& on_code_point) {
    for (char32_t c = 0; c < 0x110000; ++c) {
        if (c < 0xD800 || c >= 0xE000) on_code_point(c);
    }
}

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
    const Regex regex(pattern, "test");
    RegexMatcher matcher(regex);
    std::vector<std::string> out;
    matcher.find_all(text, [&](TextRange range) {
        if (range.begin < range.end)
            out.push_back(text.substr(range.begin, range.end - range.begin));
    });
    return out;
}

TEST(Regex, KnowsEveryCharacterAsTokenizersDoes) {
    std::string all;
    for_each_code_point([&](char32_t c) { append_utf8(all, c); });
    const nlohmann::json cases = recorded();
    for (const auto& set : cases.at("sets")) {
        const auto pattern = set.at("pattern").get<std::string>();
        const Regex regex(pattern, "test");
        RegexMatcher matcher(regex);
        Digest digest;
        size_t count = 0;
        matcher.find_all(all, [&](TextRange range) {
            for (size_t pos = range.begin; pos < range.end; ++count)
                digest.add(next_code_point(all, pos));
        });
        EXPECT_EQ(count, set.at("count").get<size_t>()) << pattern;
        EXPECT_EQ(digest.hex(), set.at("digest").get<std::string>()) << pattern;
    }
}

TEST(Regex, MatchesWhatTokenizersDoes) {
    const auto data = recorded();
    const auto& texts = data.at("texts");
    for (const auto& c : data.at("cases")) {
        const auto pattern = c.at("pattern").get<std::string>();
        for (size_t i = 0; i < texts.size(); ++i) {
            const auto text = texts[i].get<std::string>();
            EXPECT_EQ(matches(pattern, text), c.at("matches")[i].get<std::vector<std::string>>())
                << pattern << " in " << text;
        }
    }
}

TEST(Normalize, MakesOfEveryCharacterWhatTokenizersDoes) {
    const auto forms = recorded().at("forms");
    const auto digest_of = [](const auto& normalized) {
        Digest digest;
        for_each_code_point([&](char32_t c) {
            const std::string text = normalized("a" + utf8(c) + "\u0323\u0301");
            for (size_t pos = 0; pos < text.size();) digest.add(next_code_point(text, pos));
            digest.add('\n');
        });
        return digest.hex();
    };
    const std::pair<const char*, NormalForm> names[] = {{"NFC", NormalForm::kNfc},
                                                        {"NFD", NormalForm::kNfd},
                                                        {"NFKC", NormalForm::kNfkc},
                                                        {"NFKD", NormalForm::kNfkd}};
    for (const auto& [name, form] : names) {
        EXPECT_EQ(
            digest_of([form = form](const std::string& text) { return normalize(text, form); }),
            forms.at(name).get<std::string>())
            << name;
    }
    EXPECT_EQ(digest_of([](const std::string& text) { return to_lowercase(text); }),
              forms.at("Lowercase").get<std::string>());
}

TEST(Regex, RefusesWhatHasNoCounterpart) {
    for (const char* bad : {"(*UTF)", "(a)\\1", "(?<n>a)\\k<n>", "\\g<1>", "\\K", "\\y", "(?~a)",
                            "(?(1)a)", "(?W:a)", "\\C-a"}) {
        EXPECT_THROW(translate_regex(bad), DialectError) << bad;
        EXPECT_THROW(Regex(bad, "file"), UnsupportedError) << bad;
    }
    std::string many;  // more kinds of characters than a byte can tell apart
    for (char32_t c = 0x4E00; c < 0x4F00; ++c) append_utf8(many, c);
    EXPECT_THROW(Regex(many, "file"), UnsupportedError);
}

TEST(Regex, MalformedPatternsAreErrors) {
    for (const char* bad :
         {"(", ")", "a{2,1}", "[z-a]", "*", "\\p{Nowhere}", "\\p{L", "[[:alpha", "[[:nowhere:]]",
          "[\\", "\\", "[\\u12]", "[a-\\d]", "[]", "(?#", "(?i", "(?<>a)", "\\x{110000}"}) {
        EXPECT_THROW(Regex(bad, "file"), FileError) << bad;
    }
    EXPECT_THROW(Regex(std::string(100'000, 'a'), "file"), FileError);
    EXPECT_THROW(Regex(std::string(60'000, '('), "file"), FileError);
    EXPECT_THROW(Regex(std::string(60'000, '['), "file"), FileError);
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
    EXPECT_FALSE(matcher.find(text + "éb", text.size() + 3));
}

}  // namespace
}  // namespace lowkey
