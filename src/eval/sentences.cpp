#include "eval/sentences.h"

#include <algorithm>

#include "base/unicode.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

/// Bytes after which a run of words without an end is cut: a long sentence of prose is shorter.
constexpr size_t kLongSentence = 300;
/// Tokens that a place is moved at most: few sentences of prose have more, and of short texts it is
/// a fifth at most.
constexpr int64_t kReach = 64;
constexpr int64_t kShortReach = 16;
/// Tokens that a character may be spread over.
constexpr int64_t kCharacterTokens = 4;
constexpr char32_t kReplacement = 0xfffd;

bool is_ascii_end(char c) { return c == '.' || c == '!' || c == '?'; }
bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

bool is_sentence_end(char32_t c) {
    // ASCII; the ideographic, halfwidth and fullwidth; Arabic, Devanagari and others.
    return std::u32string_view(U".!?。！？｡．؟۔।॥።‽").find(c) != std::u32string_view::npos;
}

/// The last character of what tokens up to `at` spell, U+FFFD inside of one.
char32_t character_before(const Tokenizer& tokenizer, std::span<const int32_t> tokens, int64_t at) {
    const int64_t count = std::min(at, kCharacterTokens);
    const std::string text = tokenizer.decode(
        tokens.subspan(static_cast<size_t>(at - count), static_cast<size_t>(count)), false);
    std::string storage;
    const std::string_view valid = valid_utf8(text, storage);
    return valid.empty() ? U'\0' : last_code_point(valid);
}

bool sentence_ends_with(const Tokenizer& tokenizer, std::span<const int32_t> tokens, int64_t at) {
    const std::string text =
        tokenizer.decode(tokens.subspan(static_cast<size_t>(at - 1), 1), false);
    const size_t last = text.find_last_not_of(" \n");
    if (last == std::string::npos) return false;
    if ((static_cast<unsigned char>(text[last]) & 0x80u) == 0) return is_ascii_end(text[last]);
    return is_sentence_end(character_before(tokenizer, tokens, at));
}

bool line_ends_with(const Tokenizer& tokenizer, std::span<const int32_t> tokens, int64_t at) {
    const std::string text =
        tokenizer.decode(tokens.subspan(static_cast<size_t>(at - 1), 1), false);
    return text.ends_with('\n');
}

/// A sentence in the making.
class Sentences {
public:
    void add(std::string_view character) {
        if (character.size() == 1 && is_space(character.front())) return add_space();
        text_ += character;
        std::string storage;
        if (character.size() > 1 &&
            is_sentence_end(last_code_point(valid_utf8(character, storage))))
            return end();
        if (text_.size() > kLongSentence) cut();
    }
    std::vector<std::string> take() {
        end();
        return std::move(sentences_);
    }
    void end() {
        if (text_.ends_with(' ')) text_.pop_back();
        if (!text_.empty()) sentences_.push_back(std::move(text_));
        text_.clear();
    }

private:
    void add_space() {
        if (text_.empty() || text_.back() == ' ') return;
        if (is_ascii_end(text_.back())) return end();
        text_ += ' ';
    }
    /// Before the word that has become too much; a word that long is cut itself.
    void cut() {
        const size_t space = text_.rfind(' ');
        const std::string rest = space == std::string::npos ? "" : text_.substr(space + 1);
        text_.resize(text_.size() - rest.size());
        end();
        text_ = rest;
    }

    std::string text_;
    std::vector<std::string> sentences_;
};

}  // namespace

std::vector<std::string> split_sentences(std::span<const std::string> texts) {
    Sentences sentences;
    for (const std::string& text : texts) {
        for (size_t i = 0; i < text.size();) {
            const size_t length = inspect_utf8(text, i).length;
            sentences.add(std::string_view(text).substr(i, length));
            i += length;
        }
        sentences.end();
    }
    return sentences.take();
}

int64_t place_for_sentence(const Tokenizer& tokenizer, std::span<const int32_t> tokens,
                           int64_t at) {
    const int64_t count = std::ssize(tokens);
    const int64_t reach = std::min(kReach, std::max(kShortReach, count / 5));
    const int64_t first = std::max<int64_t>(at - reach, 0);
    const auto find = [&](int64_t from, int64_t to, auto&& fits) {
        for (int64_t i = from; i > to; --i) {
            if (fits(tokenizer, tokens, i)) return i;
        }
        return to;
    };
    int64_t place = find(at, first, sentence_ends_with);
    if (place > first) return place;
    // The text's beginning is a sentence's, if that ends somewhere.
    const int64_t last = std::min(at + reach, count);
    if (first == 0 && find(last, at, sentence_ends_with) > at) return 0;
    place = find(at, first, line_ends_with);
    if (place > first) return place;
    place = at;
    while (place > 0 && at - place < kCharacterTokens &&
           character_before(tokenizer, tokens, place) == kReplacement) {
        --place;
    }
    return place;
}

}  // namespace lowkey
