#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace lowkey {

/// A half-open range [begin, end) of bytes of a text.
struct TextRange {
    size_t begin;
    size_t end;
};

/// A compiled regular expression of a tokenizer file (Oniguruma's syntax, see to_pcre2).
/// Thread-safe; cheap to copy.
class Regex {
public:
    /// `where` (file and key) is for messages. Throws FileError when the pattern is malformed,
    /// UnsupportedError for syntax that has no counterpart in PCRE2.
    Regex(const std::string& pattern, std::string where);

private:
    friend class RegexMatcher;
    std::shared_ptr<const void> code_;
    std::string where_;
};

/// The state of matching one Regex: for one thread, reused over many texts. Patterns are untrusted:
/// one that backtracks without end, or needs a second for what takes others a microsecond, is
/// a FileError.
class RegexMatcher {
public:
    explicit RegexMatcher(const Regex& regex);
    ~RegexMatcher();
    RegexMatcher(const RegexMatcher&) = delete;
    RegexMatcher& operator=(const RegexMatcher&) = delete;

    /// Leftmost match in valid UTF-8 that starts at `start` or later.
    std::optional<TextRange> find(std::string_view text, size_t start);

    /// Calls on_match(TextRange) for all matches, left to right, not overlapping. An empty match
    /// right behind another match does not count.
    template <typename OnMatch>
    void find_all(std::string_view text, const OnMatch& on_match);

private:
    void check_time(size_t text_bytes);
    static size_t next_start(std::string_view text, size_t pos);

    struct State;
    const Regex& regex_;
    std::unique_ptr<State> state_;
    double started_seconds_;  // of this thread's CPU time: a busy machine is no slow pattern
    size_t num_steps_ = 0;
    size_t seen_bytes_ = 0;
};

template <typename OnMatch>
void RegexMatcher::find_all(std::string_view text, const OnMatch& on_match) {
    seen_bytes_ += text.size();
    size_t start = 0;
    std::optional<size_t> last_end;
    while (start <= text.size()) {
        const auto match = find(text, start);
        if (!match) return;
        const bool empty = match->begin == match->end;
        if (!empty || last_end != match->begin) on_match(*match);
        last_end = match->end;
        start = empty ? next_start(text, match->end) : match->end;
    }
}

}  // namespace lowkey
