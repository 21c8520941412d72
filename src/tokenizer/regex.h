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

/// A compiled regular expression of a tokenizer file (Oniguruma's syntax, see translate_regex).
/// Thread-safe; cheap to copy.
class Regex {
public:
    /// `where` (file and key) is for messages. Throws FileError when the pattern is malformed,
    /// UnsupportedError for syntax that lowkey does not know.
    Regex(const std::string& pattern, std::string where);

private:
    friend class RegexMatcher;
    struct Code;
    std::shared_ptr<const Code> code_;
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

    /// Leftmost match in valid UTF-8 that starts at the byte `start` (of a character) or later.
    std::optional<TextRange> find(std::string_view text, size_t start);

    /// Calls on_match(TextRange) for all matches, left to right, not overlapping. An empty match
    /// right behind another match does not count.
    template <typename OnMatch>
    void find_all(std::string_view text, const OnMatch& on_match);

private:
    // Matches are found in `kinds_`, a byte for each character of a text; this walks along it and
    // tells where in the text a character begins.
    struct Place {
        size_t character = 0;
        size_t byte = 0;
        void move_to(size_t to, std::string_view text, bool ascii);
    };

    void read(std::string_view text);
    /// In characters.
    std::optional<TextRange> find_in_kinds(size_t start);
    void check_time();

    struct State;
    const Regex& regex_;
    std::unique_ptr<State> state_;
    std::string kinds_;
    bool ascii_ = true;       // kinds_ has as many bytes as the text
    double started_seconds_;  // of this thread's CPU time: a busy machine is no slow pattern
    size_t num_steps_ = 0;
    size_t seen_bytes_ = 0;
};

inline void RegexMatcher::Place::move_to(size_t to, std::string_view text, bool ascii) {
    if (ascii) {
        byte = character = to;
        return;
    }
    for (; character < to; ++character) {
        const auto lead = static_cast<unsigned char>(text[byte]);
        byte += lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    }
}

template <typename OnMatch>
void RegexMatcher::find_all(std::string_view text, const OnMatch& on_match) {
    read(text);
    Place place;
    size_t start = 0;
    std::optional<size_t> last_end;
    while (start <= kinds_.size()) {
        const auto match = find_in_kinds(start);
        if (!match) return;
        const bool empty = match->begin == match->end;
        if (!empty || last_end != match->begin) {
            TextRange range{};
            place.move_to(match->begin, text, ascii_);
            range.begin = place.byte;
            place.move_to(match->end, text, ascii_);
            range.end = place.byte;
            on_match(range);
        }
        last_end = match->end;
        start = empty ? match->end + 1 : match->end;
    }
}

}  // namespace lowkey
