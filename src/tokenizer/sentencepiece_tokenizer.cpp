#include "tokenizer/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/unicode.h"
#include "tokenizer/byte_token.h"
#include "tokenizer/merge_tokens.h"
#include "tokenizer/unigram.h"

namespace lowkey {
namespace {

using sentencepiece::SentencePieceProcessor;

constexpr const char* kSpaceMark = "\xE2\x96\x81";

class SentencePieceTokenizer : public Tokenizer {
public:
    SentencePieceTokenizer(const std::string& path, const TokenizerConfig& config);

    using Tokenizer::encode;
    [[nodiscard]] std::vector<int32_t> encode(std::string_view text, bool add_special_tokens,
                                              SpecialText special) const override;
    [[nodiscard]] std::string decode(std::span<const int32_t> ids,
                                     bool skip_special_tokens) const override;
    [[nodiscard]] std::unique_ptr<TextStream> stream(bool skip_special_tokens) const override;
    [[nodiscard]] int64_t vocab_size() const override {
        return std::max(processor_->GetPieceSize(), added_tokens_.end_id());
    }
    [[nodiscard]] std::optional<int32_t> bos_id() const override { return bos_id_; }
    [[nodiscard]] std::optional<int32_t> eos_id() const override { return eos_id_; }
    [[nodiscard]] std::optional<int32_t> token_id(std::string_view token) const override;
    [[nodiscard]] bool is_special(int32_t id) const override {
        const AddedToken* added = added_tokens_.token(id);
        return added != nullptr && added->special;
    }

private:
    class Stream;

    [[nodiscard]] bool is_known(int32_t id) const {
        return id >= 0 && id < processor_->GetPieceSize();
    }
    // Tokens that are no control pieces of the library's are text of their own.
    [[nodiscard]] const AddedToken* written_out(int32_t id) const {
        if (is_known(id) && processor_->IsControl(id)) return nullptr;
        const AddedToken* added = added_tokens_.token(id);
        return is_known(id) && processor_->IsUnknown(id) ? nullptr : added;
    }
    [[nodiscard]] std::string decode_in_parts(std::span<const int32_t> ids,
                                              bool skip_special_tokens) const;
    [[nodiscard]] std::string decode_known(const std::vector<int>& ids) const;
    void append_ids(std::string_view text, bool with_prefix, std::vector<int>& ids) const;
    void find_added_tokens(const std::string& path, const TokenizerConfig& config);
    void find_guard();
    void make_unigram();

    std::unique_ptr<const SentencePieceProcessor> processor_;
    // The same without the space that the library puts before a text; null where none is needed.
    std::unique_ptr<const SentencePieceProcessor> unprefixed_;
    AddedTokens added_tokens_;
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
        if (skip_special_tokens_ && tokenizer_.is_special(id)) return {};
        if (const AddedToken* added = tokenizer_.written_out(id)) {
            const std::string before = finish();
            at_start_ = false;
            return before + added->content;
        }
        if (!tokenizer_.is_known(id)) return {};
        pending_.push_back(id);
        if (tokenizer_.guard_id_ < 0) return {};
        if (!tokenizer_.processor_->IsByte(id)) return take_pending();
        bytes_ += parse_byte_token(tokenizer_.processor_->IdToPiece(id)).value_or('\0');
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
        if (!at_start_ && tokenizer_.guard_id_ >= 0) {
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

// Throws FileError. Of fields that a serialized model has twice, the last counts: `further` goes
// behind it.
std::unique_ptr<SentencePieceProcessor> load_model(const std::string& path,
                                                   std::string_view further) {
    const MappedFile file(path);
    std::string model(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    model += further;
    auto processor = std::make_unique<SentencePieceProcessor>();
    std::string problem;
    try {
        const auto status = processor->LoadFromSerializedProto(model);
        if (!status.ok()) problem = status.ToString();
    } catch (const std::exception& e) {  // of the library's own libraries
        problem = e.what();
    }
    if (!problem.empty()) {
        throw FileError("not a SentencePiece model (" + problem + ")", path,
                        "check the file, or get it again");
    }
    return processor;
}

// Llama's classes put a space before a text only where it starts, all others behind each token that
// is written in it too, unless the files say which.
bool prefixes_every_part(const TokenizerConfig& config) {
    const bool llama = config.tokenizer_class == "LlamaTokenizer" ||
                       config.tokenizer_class == "CodeLlamaTokenizer";
    return config.legacy.value_or(!llama);
}

SentencePieceTokenizer::SentencePieceTokenizer(const std::string& path,
                                               const TokenizerConfig& config)
    : processor_(load_model(path, "")),
      add_bos_(config.add_bos_token.value_or(true)),
      add_eos_(config.add_eos_token.value_or(false)) {
    // ModelProto.normalizer_spec (3) { add_dummy_prefix (3): false }
    constexpr std::string_view no_prefix("\x1A\x02\x18\x00", 4);
    if (!prefixes_every_part(config)) unprefixed_ = load_model(path, no_prefix);
    find_added_tokens(path, config);
    const auto choose = [&](const std::optional<std::string>& name, int fallback) {
        if (name) {
            if (const auto id = token_id(*name)) return id;
        }
        return is_known(fallback) ? std::optional<int32_t>(fallback) : std::nullopt;
    };
    bos_id_ = choose(config.bos_token, processor_->bos_id());
    eos_id_ = choose(config.eos_token, processor_->eos_id());
    find_guard();
    make_unigram();
}

void SentencePieceTokenizer::find_added_tokens(const std::string& path,
                                               const TokenizerConfig& config) {
    Vocabulary vocabulary;
    std::vector<AddedToken> own;
    for (int id = 0; id < processor_->GetPieceSize(); ++id) {
        const std::string& text = processor_->IdToPiece(id);
        const bool special = processor_->IsControl(id) || processor_->IsUnknown(id);
        const bool is_new = vocabulary.add(text, id);
        if (special && is_new && !text.empty() && text.size() <= TokenTrie::kMaxBytes)
            own.push_back({.id = id, .content = text, .special = true});
    }
    added_tokens_ =
        AddedTokens(merge_added_tokens(std::move(own), config, vocabulary), nullptr, path);
}

void SentencePieceTokenizer::make_unigram() {
    std::vector<std::vector<int>> best;
    if (!processor_->NBestEncode("a", 1, &best).ok()) return;  // only unigram models have it
    std::vector<Unigram::ScoredPiece> pieces;
    std::unordered_set<std::string> seen;
    for (int id = 0; id < processor_->GetPieceSize(); ++id) {
        if (processor_->IsControl(id) || processor_->IsUnknown(id) || processor_->IsUnused(id))
            continue;
        const std::string& text = processor_->IdToPiece(id);
        const double score = processor_->GetScore(id);
        // User-defined pieces have the score 0; how the library prefers them is its own business.
        if (processor_->IsByte(id) || score >= 0 || !std::isfinite(score) || text.empty() ||
            text.size() > TokenTrie::kMaxBytes || !seen.insert(text).second) {
            return;
        }
        pieces.push_back({text, id, score});
    }
    unigram_ = std::make_unique<Unigram>(pieces, processor_->unk_id());
}

void SentencePieceTokenizer::find_guard() {
    for (int id = 0; id < processor_->GetPieceSize(); ++id) {
        if (processor_->IsControl(id) || processor_->IsUnknown(id) || processor_->IsByte(id))
            continue;
        const std::string& piece = processor_->IdToPiece(id);
        if (piece.empty() || piece.find(kSpaceMark) != std::string::npos) continue;
        if (decode_known({id}) != piece || decode_known({id, id}) != piece + piece) continue;
        guard_id_ = id;
        guard_text_ = piece;
        return;
    }
}

std::string SentencePieceTokenizer::decode_known(const std::vector<int>& ids) const {
    std::string text;
    const auto status = processor_->Decode(ids, &text);
    if (!status.ok()) throw Error("SentencePiece: " + status.ToString(), "decoding", "");
    return text;
}

void SentencePieceTokenizer::append_ids(std::string_view text, bool with_prefix,
                                        std::vector<int>& ids) const {
    const SentencePieceProcessor& processor = with_prefix ? *processor_ : *unprefixed_;
    std::vector<std::string> pieces;
    std::vector<int> found;
    const auto status = unigram_ ? processor.Encode(text, &pieces) : processor.Encode(text, &found);
    if (!status.ok()) throw Error("SentencePiece: " + status.ToString(), "text to encode", "");
    ids.insert(ids.end(), found.begin(), found.end());
    if (!unigram_) return;
    std::string normalized;
    for (const std::string& piece : pieces) normalized += piece;
    unigram_->append_ids(normalized, ids);
}

std::vector<int32_t> SentencePieceTokenizer::encode(std::string_view text, bool add_special_tokens,
                                                    SpecialText special) const {
    std::string storage;
    const PieceText parts =
        added_tokens_.split(valid_utf8(text, storage), /*normalizer=*/nullptr, special);
    std::vector<int> ids;
    if (add_special_tokens && add_bos_ && bos_id_) ids.push_back(*bos_id_);
    for (size_t i = 0; i < parts.pieces.size(); ++i) {
        const Piece& piece = parts.pieces[i];
        if (piece.token != kNoToken) {
            ids.push_back(piece.token);
        } else {
            append_ids(parts.view(piece), i == 0 || unprefixed_ == nullptr, ids);
        }
    }
    if (add_special_tokens && add_eos_ && eos_id_) ids.push_back(*eos_id_);
    return ids;
}

std::string SentencePieceTokenizer::decode(std::span<const int32_t> ids,
                                           bool skip_special_tokens) const {
    std::vector<int> known;
    known.reserve(ids.size());
    for (const int32_t id : ids) {
        if (skip_special_tokens && is_special(id)) continue;
        if (written_out(id) != nullptr) return decode_in_parts(ids, skip_special_tokens);
        if (is_known(id)) known.push_back(id);
    }
    return decode_known(known);
}

// With tokens that the library does not know.
std::string SentencePieceTokenizer::decode_in_parts(std::span<const int32_t> ids,
                                                    bool skip_special_tokens) const {
    Stream text(*this, skip_special_tokens);
    std::string out;
    for (const int32_t id : ids) out += text.push(id);
    return out + text.finish();
}

std::unique_ptr<TextStream> SentencePieceTokenizer::stream(bool skip_special_tokens) const {
    return std::make_unique<Stream>(*this, skip_special_tokens);
}

std::optional<int32_t> SentencePieceTokenizer::token_id(std::string_view token) const {
    if (const int32_t added = added_tokens_.id(token); added != kNoToken) return added;
    const int id = processor_->PieceToId(token);
    if (!is_known(id) || processor_->IdToPiece(id) != token) return std::nullopt;
    return id;
}

}  // namespace

std::shared_ptr<const Tokenizer> load_sentencepiece(const std::string& path,
                                                    const TokenizerConfig& config) {
    return std::make_shared<SentencePieceTokenizer>(path, config);
}

}  // namespace lowkey
