#include "eval/text_metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>

#include "base/unicode.h"
#include "jinja/text.h"

namespace lowkey {
namespace {

bool is_ascii_punctuation(char32_t c) { return c < 0x80 && is_punctuation(c); }

/// Symbols that are no punctuation for Unicode but were taken for such in Chinese answers: the full
/// width and small forms of ASCII's.
bool is_wide_symbol(char32_t c) {
    static constexpr std::u32string_view kSymbols = U"＄＋＜＝＞＾｀｜～〾〿";
    return kSymbols.find(c) != std::u32string_view::npos;
}

template <typename Use>
void for_each_character(std::string_view text, Use&& use) {
    for (size_t pos = 0; pos < text.size();) use(next_code_point(text, pos));
}

/// Lower case without what `leave_out` names.
template <typename Predicate>
std::string normalize(std::string_view text, Predicate&& leave_out) {
    std::string out;
    for_each_character(to_lowercase(text), [&](char32_t c) {
        if (!leave_out(c)) append_utf8(out, c);
    });
    return out;
}

std::vector<std::string> words(std::string_view text) {
    std::vector<std::string> out;
    for (const std::string_view word : jinja::split(text, std::nullopt, -1, jinja::Side::kLeft))
        out.emplace_back(word);
    return out;
}

std::vector<char32_t> characters(std::string_view text) {
    std::vector<char32_t> out;
    for_each_character(text, [&](char32_t c) { out.push_back(c); });
    return out;
}

std::vector<std::string> answer_words(std::string_view text) {
    std::vector<std::string> out = words(normalize(text, is_ascii_punctuation));
    std::erase_if(out, [](const std::string& w) { return w == "a" || w == "an" || w == "the"; });
    return out;
}

std::vector<char32_t> answer_characters(std::string_view text) {
    return characters(normalize(text, [](char32_t c) {
        return is_punctuation(c) || is_wide_symbol(c) || jinja::is_space(c);
    }));
}

std::vector<char32_t> without_space(std::string_view text) {
    std::vector<char32_t> out = characters(text);
    std::erase_if(out, jinja::is_space);
    return out;
}

double f1(int64_t common, size_t size, size_t reference_size) {
    if (common == 0) return 0;
    return 2 * static_cast<double>(common) / static_cast<double>(size + reference_size);
}

/// Of parts in common, each as often as both have it.
template <typename T>
double f1_of_common(const std::vector<T>& text, const std::vector<T>& reference) {
    std::map<T, int64_t> left;
    for (const T& part : reference) ++left[part];
    int64_t common = 0;
    for (const T& part : text) {
        const auto found = left.find(part);
        if (found == left.end() || found->second == 0) continue;
        --found->second;
        ++common;
    }
    return f1(common, text.size(), reference.size());
}

/// Length of the longest common subsequence, in time of the product of sizes and memory of one.
template <typename T>
int64_t longest_common_subsequence(const std::vector<T>& a, const std::vector<T>& b) {
    std::vector<int64_t> row(b.size() + 1, 0);
    for (const T& part : a) {
        int64_t diagonal = 0;
        for (size_t j = 0; j < b.size(); ++j) {
            const int64_t above = row[j + 1];
            row[j + 1] = part == b[j] ? diagonal + 1 : std::max(above, row[j]);
            diagonal = above;
        }
    }
    return row.back();
}

template <typename T>
double f1_of_subsequence(const std::vector<T>& text, const std::vector<T>& reference) {
    return f1(longest_common_subsequence(text, reference), text.size(), reference.size());
}

/// All runs of digits.
std::vector<std::string_view> numbers(std::string_view text) {
    static constexpr char kDigits[] = "0123456789";
    std::vector<std::string_view> out;
    for (size_t at = text.find_first_of(kDigits); at != std::string_view::npos;) {
        const size_t end = std::min(text.find_first_not_of(kDigits, at), text.size());
        out.push_back(text.substr(at, end - at));
        at = text.find_first_of(kDigits, end);
    }
    return out;
}

double share_equal(const std::vector<std::string_view>& found, std::string_view wanted) {
    if (found.empty()) return 0;
    const auto equal = std::count(found.begin(), found.end(), wanted);
    return static_cast<double>(equal) / static_cast<double>(found.size());
}

bool holds(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

/// The first line of an answer that can be code.
std::string_view first_code_line(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        if (!holds(line, "`") && !holds(line, "#") && !holds(line, "//")) return line;
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return {};
}

}  // namespace

double qa_f1(std::string_view text, std::string_view reference) {
    return f1_of_common(answer_words(text), answer_words(reference));
}

double qa_f1_zh(std::string_view text, std::string_view reference) {
    return f1_of_common(answer_characters(text), answer_characters(reference));
}

double rouge_l(std::string_view text, std::string_view reference) {
    return f1_of_subsequence(words(text), words(reference));
}

double rouge_l_zh(std::string_view text, std::string_view reference) {
    return f1_of_subsequence(without_space(text), without_space(reference));
}

double retrieval_score(std::string_view text, std::string_view reference, std::string_view label) {
    const size_t at = reference.find(label);
    if (at == std::string_view::npos) return 0;
    const auto wanted = numbers(reference.substr(at + label.size()));
    return wanted.empty() ? 0 : share_equal(numbers(text), wanted.front());
}

double count_score(std::string_view text, std::string_view reference) {
    return share_equal(numbers(text), reference);
}

double classification_score(std::string_view text, std::string_view reference,
                            std::span<const std::string> classes) {
    int64_t named = 0;
    bool right = false;
    for (const std::string& name : classes) {
        if (!holds(text, name)) continue;
        if (name == reference) {
            right = true;
        } else if (holds(reference, name)) {
            continue;
        }
        ++named;
    }
    return right ? 1 / static_cast<double>(named) : 0;
}

double code_similarity(std::string_view text, std::string_view reference) {
    const auto ours = characters(first_code_line(text));
    const auto theirs = characters(reference);
    if (ours.empty() && theirs.empty()) return 1;
    return std::round(100 * f1_of_subsequence(ours, theirs)) / 100;
}

}  // namespace lowkey
