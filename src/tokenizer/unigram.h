#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/token_trie.h"
#include "tokenizer/word_model.h"

namespace lowkey {

/// Unigram language model: the split of a word with the greatest sum of the pieces' log
/// probabilities. Source: Kudo, "Subword Regularization".
class Unigram : public WordModel {
public:
    /// Reads "model" of a tokenizer.json. Throws FileError.
    explicit Unigram(const JsonReader& model);
    /// Of pieces (text, not too long for a TokenTrie; id; log probability) with texts and ids that
    /// are unique.
    struct ScoredPiece {
        std::string text;
        int32_t id;
        double score;
    };
    Unigram(const std::vector<ScoredPiece>& pieces, int32_t unk_id);  ///< sums in float

    void append_ids(std::string_view word, std::vector<int32_t>& ids) const override;
    [[nodiscard]] const Vocabulary& vocabulary() const override { return vocabulary_; }

private:
    void append_unknown(std::string_view text, std::vector<int32_t>& ids) const;

    Vocabulary vocabulary_;
    TokenTrie trie_;
    std::vector<double> scores_;  // by id
    // The library tokenizers sums in double, SentencePiece in float: of splits that are equally
    // likely but for rounding, each has its own best.
    bool float_sums_ = false;
    double unk_score_ = 0;
    int32_t unk_id_ = kNoToken;  // unknown characters give nothing when there is none
    bool byte_fallback_ = false;
    std::vector<int32_t> byte_ids_;  // of `<0x00>` to `<0xFF>`, or empty
};

}  // namespace lowkey
