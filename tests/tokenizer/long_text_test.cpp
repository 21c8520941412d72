#include <gtest/gtest.h>

#include <ctime>
#include <thread>

#include "tests/tokenizer/golden.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

constexpr size_t kLongBytes = 2'000'000;
constexpr double kMaxSeconds = 60;  // of CPU; takes 0.1 to 1, quadratic time would be hours

std::string repeated(const std::string& unit, size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += unit;
    return text;
}

TEST(LongText, OfOneWordTakesNoQuadraticTime) {
    for (const char* name : {"qwen2", "llama2", "falcon", "deepseek"}) {
        const auto tokenizer = Tokenizer::load(golden_folder(name));
        for (const std::string unit : {"a", " ", "\n", "中", "!"}) {
            const std::string text = repeated(unit, kLongBytes);
            const std::clock_t start = std::clock();
            const auto ids = tokenizer->encode(text, false);
            const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
            EXPECT_LT(seconds, kMaxSeconds) << name << " '" << unit << "'";
            EXPECT_EQ(tokenizer->decode(ids, false), text) << name << " '" << unit << "'";
        }
    }
}

TEST(LongText, OfUnsortedMarksTakesNoQuadraticTime) {
    const auto tokenizer = Tokenizer::load(golden_folder("qwen2"));
    // Their canonical order is the other way round, all of them across all.
    std::string text(1, 'q');
    text += repeated("\u0307\u0323", 2'000'000);
    const std::string sorted = tokenizer->decode(tokenizer->encode(text, false), false);
    EXPECT_EQ(sorted.size(), text.size());
    EXPECT_TRUE(sorted.starts_with("q\u0323\u0323\u0323"));
    EXPECT_TRUE(sorted.ends_with("\u0307\u0307"));
}

TEST(LongText, IsTheSumOfItsLines) {
    // Words repeat often enough here for the cache to give most of them, some long, some not.
    const auto tokenizer = Tokenizer::load(golden_folder("llama3"));
    std::string text;
    std::vector<int32_t> expected;
    for (int i = 0; i < 20; ++i) {
        for (const auto& c : golden_lines("llama3", "cases.jsonl")) {
            std::string part(1, '\n');
            part += c.at("text").get<std::string>();
            part += "x<|eot_id|>";
            text += part;
            for (const int32_t id : tokenizer->encode(part, false)) expected.push_back(id);
        }
    }
    EXPECT_EQ(tokenizer->encode(text, false), expected);
}

TEST(Tokenizer, ThreadsShareOne) {
    for (const char* name : {"llama3", "llama2", "unigram"}) {
        const auto tokenizer = Tokenizer::load(golden_folder(name));
        const auto cases = golden_lines(name, "cases.jsonl");
        // Its reference takes control tokens in texts for text.
        const auto special =
            std::string(name) == "unigram" ? SpecialText::kPlain : SpecialText::kParse;
        std::vector<std::thread> threads;
        std::vector<int> wrong(4, 0);
        for (size_t t = 0; t < wrong.size(); ++t) {
            threads.emplace_back([&, t] {
                for (const auto& c : cases) {
                    const auto ids = c.at("ids").get<std::vector<int32_t>>();
                    if (tokenizer->encode(c.at("text").get<std::string>(), false, special) != ids)
                        ++wrong[t];
                    if (tokenizer->decode(ids, false) != c.at("decoded").get<std::string>())
                        ++wrong[t];
                }
            });
        }
        for (std::thread& thread : threads) thread.join();
        EXPECT_EQ(wrong, std::vector<int>(4, 0)) << name;
    }
}

TEST(Tokenizer, TakesAnyBytes) {
    for (const char* name : {"llama3", "llama2", "unigram", "qwen2", "falcon"}) {
        const auto tokenizer = Tokenizer::load(golden_folder(name));
        const std::string replacement = "\uFFFD";
        const std::pair<std::string, std::string> cases[] = {
            {"\xFF", replacement},
            {"a\xE4\xBD", "a" + replacement},
            {"\xE4\xBD\xE4\xBD\xA0", replacement + "你"},
            {"\xC0\x80", replacement + replacement},
            {"\xED\xA0\x80", replacement + replacement + replacement},
            {"\xF4\x90\x80\x80", replacement + replacement + replacement + replacement},
            {"\xF0\x9F\x98", replacement},
        };
        for (const auto& [bytes, text] : cases)
            EXPECT_EQ(tokenizer->encode(bytes, false), tokenizer->encode(text, false)) << name;
        EXPECT_TRUE(tokenizer->encode("", false).empty());
        EXPECT_EQ(tokenizer->decode({}, false), "");
        const std::vector<int32_t> strange = {-1, INT32_MIN, INT32_MAX, 1 << 24, 1'000'000};
        EXPECT_EQ(tokenizer->decode(strange, false), "") << name;
        for (const int32_t id : strange) EXPECT_FALSE(tokenizer->is_special(id));
    }
}

}  // namespace
}  // namespace lowkey
