#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/decoder.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"
#include "tokenizer/word_model.h"

namespace lowkey {

/// The components of a tokenizer, as tokenizer.json names them.
struct Pipeline {
    AddedTokens added_tokens;
    std::unique_ptr<Normalizer> normalizer;       ///< may be null
    std::unique_ptr<PreTokenizer> pre_tokenizer;  ///< may be null: a text is one word
    std::unique_ptr<WordModel> model;
    PostProcessor post_processor;
    Decoder decoder;
};

/// Added tokens, then normalizer, pre-tokenizer, model, post-processor; and back by the decoder.
class PipelineTokenizer : public Tokenizer {
public:
    /// bos and eos are those that `config` names.
    PipelineTokenizer(Pipeline pipeline, const TokenizerConfig& config);

    using Tokenizer::encode;
    [[nodiscard]] std::vector<int32_t> encode(std::string_view text, bool add_special_tokens,
                                              SpecialText special) const override;
    [[nodiscard]] std::string decode(std::span<const int32_t> ids,
                                     bool skip_special_tokens) const override;
    [[nodiscard]] std::unique_ptr<TextStream> stream(bool skip_special_tokens) const override;
    [[nodiscard]] int64_t vocab_size() const override;
    [[nodiscard]] std::optional<int32_t> bos_id() const override { return bos_id_; }
    [[nodiscard]] std::optional<int32_t> eos_id() const override { return eos_id_; }
    [[nodiscard]] std::optional<int32_t> token_id(std::string_view token) const override;
    [[nodiscard]] bool is_special(int32_t id) const override;

private:
    class Stream;

    Pipeline pipeline_;
    std::optional<int32_t> bos_id_;
    std::optional<int32_t> eos_id_;
};

}  // namespace lowkey
