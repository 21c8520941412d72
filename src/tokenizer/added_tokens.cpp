#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "base/unicode.h"

namespace lowkey {
namespace {

// Where the white space that ends at `end` begins, not before `begin`.
size_t white_space_before(std::string_view text, size_t begin, size_t end) {
    while (end > begin) {
        const std::string_view left = text.substr(begin, end - begin);
        const char32_t c = last_code_point(left);
        if (!is_white_space(c)) break;
        do --end;
        while (!begins_character(text[end]));
    }
    return end;
}

size_t white_space_behind(std::string_view text, size_t begin) {
    while (begin < text.size()) {
        size_t next = begin;
        if (!is_white_space(next_code_point(text, next))) break;
        begin = next;
    }
    return begin;
}

// Whether characters belong to words, by a regular expression whose state is made when one asks.
class WordChars {
public:
    explicit WordChars(const std::optional<Regex>& regex) : regex_(regex) {}

    /// Whether no word goes on across an end of the range.
    bool stands_alone(std::string_view text, TextRange range) {
        if (range.begin > 0 && contains(last_code_point(text.substr(0, range.begin)))) return false;
        return range.end == text.size() || !contains(first_code_point(text.substr(range.end)));
    }

private:
    bool contains(char32_t c) {
        if (c < 0x80) {
            return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' ||
                   (c >= 'a' && c <= 'z');
        }
        if (!matcher_) matcher_.emplace(*regex_);
        std::string character;
        append_utf8(character, c);
        return matcher_->find(character, 0).has_value();
    }

    const std::optional<Regex>& regex_;
    std::optional<RegexMatcher> matcher_;
};

}  // namespace

AddedToken read_added_token(const JsonReader& object) {
    AddedToken token{.content = object.at("content").string(),
                     .single_word = object.boolean_or("single_word", false),
                     .lstrip = object.boolean_or("lstrip", false),
                     .rstrip = object.boolean_or("rstrip", false),
                     .special = object.boolean_or("special", false)};
    token.normalized = object.boolean_or("normalized", !token.special);
    if (token.content.size() > TokenTrie::kMaxBytes) object.fail("added token that is too long");
    return token;
}

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens, const Normalizer* normalizer,
                         const std::string& file) {
    for (AddedToken token : tokens) {
        LOWKEY_CHECK(token.id >= 0 && !token.content.empty());
        if (token.single_word && !word_char_) word_char_.emplace("[\\w\\x{200C}\\x{200D}]", "\\w");
        token.spelling = token.content;
        if (token.normalized && normalizer != nullptr) {
            token.spelling = normalizer->apply(token.content);
            if (token.spelling.size() > TokenTrie::kMaxBytes)
                throw FileError("added token that is too long", file,
                                "check the file, or get it again");
        }
        if (!token.spelling.empty())
            (token.normalized ? normalized_ : raw_).add(token.spelling, token.id);
        end_id_ = std::max(end_id_, token.id + 1);
        ids_.emplace(token.content, token.id);
        tokens_.emplace(token.id, std::move(token));
    }
}

const AddedToken* AddedTokens::token(int32_t id) const {
    const auto entry = tokens_.find(id);
    return entry == tokens_.end() ? nullptr : &entry->second;
}

int32_t AddedTokens::id(std::string_view content) const {
    const auto entry = ids_.find(std::string(content));
    return entry == ids_.end() ? kNoToken : entry->second;
}

// Leftmost longest matches; on_text(begin, end) for what lies between.
template <typename OnText, typename OnToken>
void AddedTokens::find(const TokenTrie& trie, std::string_view text, SpecialText special,
                       const OnText& on_text, const OnToken& on_token) const {
    WordChars word_chars(word_char_);
    size_t covered = 0;
    for (size_t pos = trie.empty() ? text.size() : 0; pos < text.size();) {
        if (!trie.may_start(text[pos])) {
            ++pos;
            continue;
        }
        size_t length = 0;
        int32_t id = kNoToken;
        trie.for_each_prefix(text, pos, [&](size_t prefix, int32_t number) {
            length = prefix;
            id = number;
        });
        if (id == kNoToken) {
            ++pos;
            continue;
        }
        TextRange range{pos, pos + length};
        pos += length;
        const AddedToken& added = tokens_.at(id);
        if (added.special && special == SpecialText::kPlain) continue;
        if (added.single_word && !word_chars.stands_alone(text, range)) continue;
        if (added.lstrip) {
            const size_t from = std::min(covered, range.begin);
            range.begin = white_space_before(text, from, range.begin);
        }
        if (added.rstrip) range.end = white_space_behind(text, range.end);
        if (covered < range.begin) on_text(covered, range.begin);
        on_token(id);
        covered = std::max(covered, range.end);
    }
    if (covered < text.size()) on_text(covered, text.size());
}

PieceText AddedTokens::split(std::string_view text, const Normalizer* normalizer,
                             SpecialText special) const {
    PieceText out;
    out.text.reserve(text.size());
    const auto append_token = [&](int32_t id) { out.pieces.push_back({0, 0, id}); };
    const auto append_text = [&](std::string_view part) {
        const size_t begin = out.text.size();
        out.text += part;
        if (!part.empty()) out.pieces.push_back({begin, out.text.size()});
    };
    const auto append_normalized = [&](std::string_view part) {
        find(
            normalized_, part, special,
            [&](size_t begin, size_t end) { append_text(part.substr(begin, end - begin)); },
            append_token);
    };
    find(
        raw_, text, special,
        [&](size_t begin, size_t end) {
            const std::string_view part = text.substr(begin, end - begin);
            if (normalizer == nullptr) return append_normalized(part);
            append_normalized(normalizer->apply(std::string(part)));
        },
        append_token);
    return out;
}

}  // namespace lowkey
