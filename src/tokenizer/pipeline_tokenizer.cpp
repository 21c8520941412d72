#include "tokenizer/pipeline_tokenizer.h"

#include <algorithm>

#include "base/unicode.h"
#include "tokenizer/word_cache.h"

namespace lowkey {

class PipelineTokenizer::Stream : public TextStream {
public:
    Stream(const PipelineTokenizer& tokenizer, bool skip_special_tokens)
        : tokenizer_(tokenizer),
          skip_special_tokens_(skip_special_tokens),
          decoder_(tokenizer.pipeline_.decoder) {}

    std::string push(int32_t id) override {
        const Pipeline& pipeline = tokenizer_.pipeline_;
        if (const AddedToken* added = pipeline.added_tokens.token(id)) {
            return added->special && skip_special_tokens_ ? std::string()
                                                          : decoder_.push(added->spelling);
        }
        const std::string* token = pipeline.model->vocabulary().token(id);
        return token == nullptr ? std::string() : decoder_.push(*token);
    }
    std::string finish() override { return decoder_.finish(); }

private:
    const PipelineTokenizer& tokenizer_;
    bool skip_special_tokens_;
    Decoder decoder_;
};

PipelineTokenizer::PipelineTokenizer(Pipeline pipeline, const TokenizerConfig& config)
    : pipeline_(std::move(pipeline)) {
    if (config.bos_token) bos_id_ = token_id(*config.bos_token);
    if (config.eos_token) eos_id_ = token_id(*config.eos_token);
}

std::vector<int32_t> PipelineTokenizer::encode(std::string_view text, bool add_special_tokens,
                                               SpecialText special) const {
    std::string storage;
    PieceText words = pipeline_.added_tokens.split(valid_utf8(text, storage),
                                                   pipeline_.normalizer.get(), special);
    if (pipeline_.pre_tokenizer) pipeline_.pre_tokenizer->apply(words);
    std::vector<int32_t> ids;
    ids.reserve(words.pieces.size() + words.pieces.size() / 2);
    const PostProcessor& around = pipeline_.post_processor;
    if (add_special_tokens) ids = around.before;
    WordCache cache;
    for (const Piece& piece : words.pieces) {
        if (piece.token != kNoToken) {
            ids.push_back(piece.token);
            continue;
        }
        const std::string_view word = words.view(piece);
        if (word.empty() || cache.append_known(word, ids)) continue;
        const size_t begin = ids.size();
        pipeline_.model->append_ids(word, ids);
        cache.add(word, begin, ids.size());
    }
    if (add_special_tokens) ids.insert(ids.end(), around.behind.begin(), around.behind.end());
    return ids;
}

std::string PipelineTokenizer::decode(std::span<const int32_t> ids,
                                      bool skip_special_tokens) const {
    Stream text(*this, skip_special_tokens);
    std::string out;
    for (const int32_t id : ids) out += text.push(id);
    return out + text.finish();
}

std::unique_ptr<TextStream> PipelineTokenizer::stream(bool skip_special_tokens) const {
    return std::make_unique<Stream>(*this, skip_special_tokens);
}

int64_t PipelineTokenizer::vocab_size() const {
    return std::max(pipeline_.added_tokens.end_id(), pipeline_.model->vocabulary().end_id());
}

std::optional<int32_t> PipelineTokenizer::token_id(std::string_view token) const {
    const int32_t added = pipeline_.added_tokens.id(token);
    const int32_t id = added != kNoToken ? added : pipeline_.model->vocabulary().id(token);
    return id == kNoToken ? std::nullopt : std::optional(id);
}

bool PipelineTokenizer::is_special(int32_t id) const {
    const AddedToken* added = pipeline_.added_tokens.token(id);
    return added != nullptr && added->special;
}

}  // namespace lowkey
