#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "io/json_reader.h"
#include "tokenizer/regex.h"

namespace lowkey {

/// What components look for in text: a regular expression or a plain string. Thread-safe.
class TextPattern {
public:
    /// Reads {"Regex": "..."} or {"String": "..."}, the member "pattern" of `component`.
    explicit TextPattern(const JsonReader& component);
    /// A regular expression, and where it stands, for messages.
    TextPattern(const std::string& regex, const std::string& where);

    /// Text with every match replaced.
    [[nodiscard]] std::string replace_all(std::string_view text, std::string_view with) const;

    /// Finds matches in many texts, for one thread.
    class Finder {
    public:
        explicit Finder(const TextPattern& pattern);
        /// Calls on_match for all matches, left to right, not overlapping.
        template <typename OnMatch>
        void find_all(std::string_view text, const OnMatch& on_match);

    private:
        const TextPattern& pattern_;
        std::optional<RegexMatcher> matcher_;
    };

private:
    std::optional<Regex> regex_;
    std::string string_;  // when there is no regex; the empty string matches nowhere
};

template <typename OnMatch>
void TextPattern::Finder::find_all(std::string_view text, const OnMatch& on_match) {
    if (matcher_) return matcher_->find_all(text, on_match);
    const std::string_view string = pattern_.string_;
    if (string.empty()) return;
    for (size_t at = text.find(string); at != std::string_view::npos;) {
        on_match(TextRange{at, at + string.size()});
        at = text.find(string, at + string.size());
    }
}

}  // namespace lowkey
