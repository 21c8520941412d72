#include "tokenizer/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <cmath>
#include <unordered_set>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/unicode.h"
#include "tokenizer/byte_token.h"
#include "tokenizer/unigram.h"

namespace lowkey {
namespace {

using sentencepiece::SentencePieceProcessor;

constexpr const char* kSpaceMark = "\xE2\x96\x81";

// How many bytes at the end may begin a character that is not complete.
size_t incomplete_tail(std::string_view bytes) {
    for (size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
        const size_t pos = bytes.size() - back;
        if ((static_cast<unsigned char>(bytes[pos]) & 0xC0U) == 0x80) continue;
        return inspect_utf8(bytes, pos).cut ? back : 0;
    }
    return 0;
}

class SentencePieceTokenizer : public Tokenizer {
public:
    SentencePieceTokenizer(const std::string& path, const TokenizerConfig& config);

    [[nodiscard]] std::vector<int32_t> encode(std::string_view text,
                                              bool add_special_tokens) const override;
    [[nodiscard]] std::string decode(std::span<const int32_t> ids,
                                     bool skip_special_tokens) const override;
    [[nodiscard]] std::unique_ptr<TextStream> stream(bool skip_special_tokens) const override;
    [[nodiscard]] int64_t vocab_size() const override { return processor_.GetPieceSize(); }
    [[nodiscard]] std::optional<int32_t> bos_id() const override { return bos_id_; }
    [[nodiscard]] std::optional<int32_t> eos_id() const override { return eos_id_; }
    [[nodiscard]] std::optional<int32_t> token_id(std::string_view token) const override;
    [[nodiscard]] bool is_special(int32_t id) const override {
        return is_known(id) && (processor_.IsControl(id) || processor_.IsUnknown(id));
    }

private:
    class Stream;

    [[nodiscard]] bool is_known(int32_t id) const {
        return id >= 0 && id < processor_.GetPieceSize();
    }
    [[nodiscard]] std::string decode_known(const std::vector<int>& ids) const;
    /// Throws FileError.
    void load(const std::string& path);
    void find_guard();
    void make_unigram();

    SentencePieceProcessor processor_;
    std::optional<int32_t> bos_id_;
    std::optional<int32_t> eos_id_;
    bool add_bos_ = true;
    bool add_eos_ = false;
    // Splits the text that the library has normalized. Versions before 0.2 compare rounded sums
    // with exact ones, so that of two equally likely splits either may win; here the first does, as
    // in newer ones. Null for models of other types, and for those with byte pieces.
    std::unique_ptr<const Unigram> unigram_;
    int32_t guard_id_ = -1;  // a piece that is its own text wherever it stands
    std::string guard_text_;
};

// The library decodes only whole lists: a piece is decoded behind a guard, whose text is then cut
// off, so that it is not taken for the first of a text (which loses its space).
class SentencePieceTokenizer::Stream : public TextStream {
public:
    Stream(const SentencePieceTokenizer& tokenizer, bool skip_special_tokens)
        : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}

    std::string push(int32_t id) override {
        if (!tokenizer_.is_known(id)) return {};
        if (skip_special_tokens_ && tokenizer_.is_special(id)) return {};
        pending_.push_back(id);
        if (tokenizer_.guard_id_ < 0) return {};
        if (!tokenizer_.processor_.IsByte(id)) return take_pending();
        bytes_ += parse_byte_token(tokenizer_.processor_.IdToPiece(id)).value_or('\0');
        const size_t tail = incomplete_tail(bytes_);
        if (tail == bytes_.size()) return {};
        const std::vector<int> rest(pending_.end() - static_cast<ptrdiff_t>(tail), pending_.end());
        const std::string rest_bytes = bytes_.substr(bytes_.size() - tail);
        pending_.resize(pending_.size() - tail);
        std::string text = take_pending();
        pending_ = rest;
        bytes_ = rest_bytes;
        return text;
    }
    std::string finish() override { return pending_.empty() ? std::string() : take_pending(); }

private:
    std::string take_pending() {
        std::vector<int> ids = std::move(pending_);
        pending_.clear();
        bytes_.clear();
        if (!at_start_) {
            ids.insert(ids.begin(), tokenizer_.guard_id_);
            return tokenizer_.decode_known(ids).substr(tokenizer_.guard_text_.size());
        }
        std::string text = tokenizer_.decode_known(ids);
        if (text.empty()) {
            // A space that the start of a text swallows: does it swallow another?
            ids.insert(ids.end(), ids.begin(), ids.end());
            at_start_ = tokenizer_.decode_known(ids).empty();
        } else {
            at_start_ = false;
        }
        return text;
    }

    const SentencePieceTokenizer& tokenizer_;
    bool skip_special_tokens_;
    std::vector<int> pending_;  // ids whose text is not out
    std::string bytes_;         // of the byte pieces in pending_
    bool at_start_ = true;      // no text is out that a space could stand behind
};

SentencePieceTokenizer::SentencePieceTokenizer(const std::string& path,
                                               const TokenizerConfig& config)
    : add_bos_(config.add_bos_token.value_or(true)),
      add_eos_(config.add_eos_token.value_or(false)) {
    load(path);
    const auto choose = [&](const std::optional<std::string>& name, int fallback) {
        if (name) {
            if (const auto id = token_id(*name)) return id;
        }
        return is_known(fallback) ? std::optional<int32_t>(fallback) : std::nullopt;
    };
    bos_id_ = choose(config.bos_token, processor_.bos_id());
    eos_id_ = choose(config.eos_token, processor_.eos_id());
    find_guard();
    make_unigram();
}

void SentencePieceTokenizer::load(const std::string& path) {
    const MappedFile file(path);
    std::string problem;
    try {
        const auto status = processor_.LoadFromSerializedProto(
            {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
        if (!status.ok()) problem = status.ToString();
    } catch (const std::exception& e) {  // of the library's own libraries
        problem = e.what();
    }
    if (!problem.empty()) {
        throw FileError("not a SentencePiece model (" + problem + ")", path,
                        "check the file, or get it again");
    }
}

void SentencePieceTokenizer::make_unigram() {
    std::vector<std::vector<int>> best;
    if (!processor_.NBestEncode("a", 1, &best).ok()) return;  // only unigram models have it
    std::vector<Unigram::ScoredPiece> pieces;
    std::unordered_set<std::string> seen;
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
        if (processor_.IsControl(id) || processor_.IsUnknown(id) || processor_.IsUnused(id))
            continue;
        const std::string& text = processor_.IdToPiece(id);
        const double score = processor_.GetScore(id);
        // User-defined pieces have the score 0; how the library prefers them is its own business.
        if (processor_.IsByte(id) || score >= 0 || !std::isfinite(score) || text.empty() ||
            text.size() > TokenTrie::kMaxBytes || !seen.insert(text).second) {
            return;
        }
        pieces.push_back({text, id, score});
    }
    unigram_ = std::make_unique<Unigram>(pieces, processor_.unk_id());
}

void SentencePieceTokenizer::find_guard() {
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
        if (processor_.IsControl(id) || processor_.IsUnknown(id) || processor_.IsByte(id)) continue;
        const std::string& piece = processor_.IdToPiece(id);
        if (piece.empty() || piece.find(kSpaceMark) != std::string::npos) continue;
        if (decode_known({id}) != piece || decode_known({id, id}) != piece + piece) continue;
        guard_id_ = id;
        guard_text_ = piece;
        return;
    }
}

std::string SentencePieceTokenizer::decode_known(const std::vector<int>& ids) const {
    std::string text;
    const auto status = processor_.Decode(ids, &text);
    if (!status.ok()) throw Error("SentencePiece: " + status.ToString(), "decoding", "");
    return text;
}

std::vector<int32_t> SentencePieceTokenizer::encode(std::string_view text,
                                                    bool add_special_tokens) const {
    std::string storage;
    const std::string_view valid = valid_utf8(text, storage);
    std::vector<int> ids;
    std::vector<std::string> pieces;
    const auto status =
        unigram_ ? processor_.Encode(valid, &pieces) : processor_.Encode(valid, &ids);
    if (!status.ok()) throw Error("SentencePiece: " + status.ToString(), "text to encode", "");
    if (unigram_) {
        std::string normalized;
        for (const std::string& piece : pieces) normalized += piece;
        unigram_->append_ids(normalized, ids);
    }
    if (add_special_tokens && add_bos_ && bos_id_) ids.insert(ids.begin(), *bos_id_);
    if (add_special_tokens && add_eos_ && eos_id_) ids.push_back(*eos_id_);
    return ids;
}

std::string SentencePieceTokenizer::decode(std::span<const int32_t> ids,
                                           bool skip_special_tokens) const {
    std::vector<int> known;
    known.reserve(ids.size());
    for (const int32_t id : ids) {
        if (is_known(id) && !(skip_special_tokens && is_special(id))) known.push_back(id);
    }
    return decode_known(known);
}

std::unique_ptr<TextStream> SentencePieceTokenizer::stream(bool skip_special_tokens) const {
    return std::make_unique<Stream>(*this, skip_special_tokens);
}

std::optional<int32_t> SentencePieceTokenizer::token_id(std::string_view token) const {
    const int id = processor_.PieceToId(token);
    if (!is_known(id) || processor_.IdToPiece(id) != token) return std::nullopt;
    return id;
}

}  // namespace

std::shared_ptr<const Tokenizer> load_sentencepiece(const std::string& path,
                                                    const TokenizerConfig& config) {
    return std::make_shared<SentencePieceTokenizer>(path, config);
}

}  // namespace lowkey
