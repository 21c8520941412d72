#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/flat_table.h"
#include "tokenizer/word_model.h"

namespace lowkey {

/// How a BPE model treats what its vocabulary lacks, and the affixes of older models.
struct BpeOptions {
    std::string unk_token = {};                  ///< empty: unknown characters give nothing
    std::string continuing_subword_prefix = {};  ///< before every character of a word but the first
    std::string end_of_word_suffix = {};         ///< behind the last character of a word
    bool fuse_unk = false;                       ///< one unknown token for a run of them
    bool byte_fallback = false;                  ///< unknown characters become tokens `<0x41>`
    bool ignore_merges = false;                  ///< a word that is a token is never split
};

/// Byte-pair encoding: of the pairs of neighbours that a merge joins, the one that stands first in
/// the list of merges is joined first, leftmost first, until none is left.
/// Source: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units".
class Bpe : public WordModel {
public:
    /// Reads "model" of a tokenizer.json. Throws FileError or UnsupportedError.
    explicit Bpe(const JsonReader& model);
    /// Of a vocabulary and the text of a merges.txt (`file` is for messages). Throws FileError.
    Bpe(Vocabulary vocabulary, std::string_view merges_text, const std::string& file);
    /// Of merges whose parts and results are in the vocabulary, first ones first.
    Bpe(Vocabulary vocabulary, const std::vector<std::pair<std::string, std::string>>& merges,
        BpeOptions options, const std::string& file);

    void append_ids(std::string_view word, std::vector<int32_t>& ids) const override;
    [[nodiscard]] const Vocabulary& vocabulary() const override { return vocabulary_; }

private:
    // The symbols of a word before merging. chars[i] is the character that symbol i is, or kNoChar
    // for bytes and unknown ones.
    struct Symbols {
        std::vector<int32_t> ids;
        std::vector<char32_t> chars;
    };

    void prepare();
    void add_merge(std::string_view left, std::string_view right, const JsonReader& where);
    [[nodiscard]] std::vector<int32_t> byte_ids(std::string_view text) const;
    [[nodiscard]] int32_t char_id(std::string_view text, char32_t c, bool first, bool last) const;
    [[nodiscard]] Symbols split(std::string_view word) const;
    [[nodiscard]] bool may_cut(const Symbols& symbols, size_t pos) const;
    [[nodiscard]] uint32_t rank(int32_t left, int32_t right) const;
    void merge_short(std::vector<int32_t>& symbols, size_t begin, size_t end,
                     std::vector<int32_t>& ids) const;
    void merge_long(std::vector<int32_t>& symbols, size_t begin, size_t end,
                    std::vector<int32_t>& ids) const;

    Vocabulary vocabulary_;
    BpeOptions options_;
    int32_t unk_id_ = kNoToken;
    std::array<int32_t, 256> byte_ids_{};  // of `<0x00>` to `<0xFF>`; kNoToken where missing
    std::vector<int32_t> low_char_ids_;    // of characters below its size, no affixes
    FlatTable<uint32_t> rank_of_pair_;     // (left id, right id) -> index in merged_
    std::vector<int32_t> merged_;          // id that a merge makes, in the order of merges
    FlatTable<bool> joints_;  // (last character of a left part, first of its right part)
};

}  // namespace lowkey
