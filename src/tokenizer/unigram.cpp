#include "tokenizer/unigram.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/unicode.h"
#include "tokenizer/byte_token.h"

namespace lowkey {
namespace {

constexpr double kUnkPenalty = 10;  // of an unknown character, below the least likely piece

std::vector<int32_t> find_byte_ids(const Vocabulary& vocabulary) {
    std::vector<int32_t> ids;
    for (size_t byte = 0; byte < 256; ++byte) {
        const int32_t id = vocabulary.id(byte_token(byte));
        if (id == kNoToken) return {};
        ids.push_back(id);
    }
    return ids;
}

}  // namespace

Unigram::Unigram(const JsonReader& model) {
    const JsonReader vocab = model.at("vocab");
    if (!vocab.is_array() || vocab.value().empty() ||
        vocab.value().size() > static_cast<size_t>(kMaxTokenIds)) {
        vocab.fail("expected an array of pieces and scores");
    }
    double min_score = std::numeric_limits<double>::max();
    for (const auto& entry : vocab.value()) {
        const auto id = static_cast<int32_t>(scores_.size());
        const JsonReader reader(entry, model.file(), "model.vocab[" + std::to_string(id) + "]");
        if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string())
            reader.fail("expected a piece and its score");
        const auto& piece = entry[0].get_ref<const std::string&>();
        scores_.push_back(JsonReader(entry[1], model.file(), "score of '" + piece + "'").number());
        min_score = std::min(min_score, scores_.back());
        if (piece.size() > TokenTrie::kMaxBytes) reader.fail("piece that is too long");
        if (!vocabulary_.add(piece, id)) reader.fail("piece '" + piece + "' is there twice");
        if (!piece.empty()) trie_.add(piece, id);
    }
    unk_score_ = min_score - kUnkPenalty;
    if (model.has("unk_id")) {
        unk_id_ = static_cast<int32_t>(
            model.at("unk_id").integer(0, static_cast<int64_t>(scores_.size()) - 1));
    }
    byte_fallback_ = model.boolean_or("byte_fallback", false);
    byte_ids_ = find_byte_ids(vocabulary_);
}

Unigram::Unigram(const std::vector<ScoredPiece>& pieces, int32_t unk_id)
    : float_sums_(true), unk_id_(unk_id) {
    double min_score = 0;
    for (const auto& [text, id, score] : pieces) {
        LOWKEY_CHECK(vocabulary_.add(text, id));
        trie_.add(text, id);
        scores_.resize(static_cast<size_t>(vocabulary_.end_id()), 0);
        scores_[static_cast<size_t>(id)] = score;
        min_score = std::min(min_score, score);
    }
    unk_score_ = min_score - kUnkPenalty;
}

void Unigram::append_ids(std::string_view word, std::vector<int32_t>& ids) const {
    struct Node {
        double score = 0;
        size_t begin = std::numeric_limits<size_t>::max();  // max: not reached
        int32_t id = kNoToken;                              // kNoToken: an unknown character
    };
    std::vector<Node> ends_at(word.size() + 1);  // the best split that ends here
    const auto offer = [&](size_t begin, size_t end, double score, int32_t id) {
        Node& node = ends_at[end];
        if (float_sums_) score = static_cast<float>(score);
        const bool reached = node.begin != std::numeric_limits<size_t>::max();
        if (!reached || score > node.score) node = {score, begin, id};
    };
    for (size_t pos = 0; pos < word.size();) {
        const double score = ends_at[pos].score;
        const size_t char_length = inspect_utf8(word, pos).length;
        bool has_char = false;
        trie_.for_each_prefix(word, pos, [&](size_t length, int32_t id) {
            offer(pos, pos + length, score + scores_[static_cast<size_t>(id)], id);
            has_char |= length == char_length;
        });
        if (!has_char) offer(pos, pos + char_length, score + unk_score_, kNoToken);
        pos += char_length;
    }
    std::vector<const Node*> path;
    std::vector<size_t> ends;
    for (size_t end = word.size(); end > 0; end = ends_at[end].begin) {
        path.push_back(&ends_at[end]);
        ends.push_back(end);
    }
    for (size_t i = path.size(); i-- > 0;) {
        const auto unknown = [&](size_t at) {
            return path[at]->id == kNoToken || path[at]->id == unk_id_;
        };
        if (!unknown(i)) {
            ids.push_back(path[i]->id);
            continue;
        }
        const size_t begin = path[i]->begin;  // a run of unknown characters is one token
        while (i > 0 && unknown(i - 1)) --i;
        append_unknown(word.substr(begin, ends[i] - begin), ids);
    }
}

void Unigram::append_unknown(std::string_view text, std::vector<int32_t>& ids) const {
    // A fused run can spell a piece that its parts did not reach.
    if (const int32_t id = vocabulary_.id(text); id != kNoToken) return ids.push_back(id);
    if (byte_fallback_ && !byte_ids_.empty()) {
        for (const char byte : text) ids.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
    } else if (unk_id_ != kNoToken) {
        ids.push_back(unk_id_);
    }
}

}  // namespace lowkey
