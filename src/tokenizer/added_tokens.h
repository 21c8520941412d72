#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/json_reader.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/regex.h"
#include "tokenizer/token_trie.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace lowkey {

/// A token that is found in text before the model sees it.
struct AddedToken {
    int32_t id = kNoToken;
    std::string content = {};
    std::string spelling =
        {};  ///< what is looked for and decoded: normalized content, if `normalized`
    bool single_word = false;  ///< not inside a word
    bool lstrip = false;       ///< takes the white space to its left
    bool rstrip = false;       ///< takes the white space to its right
    bool normalized = false;   ///< looked for in normalized text, in its normalized spelling
    bool special = false;      ///< left out when special tokens are skipped
};

/// The flags and "content" of an added token, all but the id. Throws FileError.
AddedToken read_added_token(const JsonReader& object);

/// The added tokens of a tokenizer. Immutable, thread-safe.
class AddedTokens {
public:
    AddedTokens() = default;
    /// Of tokens with ids, contents and ids unique (see merge_added_tokens). `normalizer` may be
    /// null. Throws FileError, naming `file`, when a token's normalized spelling is too long.
    AddedTokens(const std::vector<AddedToken>& tokens, const Normalizer* normalizer,
                const std::string& file);

    /// Cuts `text` (valid UTF-8) at the tokens and normalizes what lies between.
    [[nodiscard]] PieceText split(std::string_view text, const Normalizer* normalizer,
                                  SpecialText special) const;

    [[nodiscard]] const AddedToken* token(int32_t id) const;   ///< or null
    [[nodiscard]] int32_t id(std::string_view content) const;  ///< or kNoToken
    /// One more than the greatest id.
    [[nodiscard]] int32_t end_id() const { return end_id_; }

private:
    template <typename OnText, typename OnToken>
    void find(const TokenTrie& trie, std::string_view text, SpecialText special,
              const OnText& on_text, const OnToken& on_token) const;

    std::unordered_map<int32_t, AddedToken> tokens_;
    std::unordered_map<std::string, int32_t> ids_;
    int32_t end_id_ = 0;
    TokenTrie raw_;
    TokenTrie normalized_;
    std::optional<Regex> word_char_;  // when a token is single_word
};

}  // namespace lowkey
