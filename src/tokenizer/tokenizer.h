#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lowkey {

/// Text to token ids and back. Immutable after loading; all methods are thread-safe.
class Tokenizer {
public:
    virtual ~Tokenizer() = default;

    /// Loads what a Hugging Face directory has: `tokenizer.json`, else `tokenizer.model`
    /// (SentencePiece), else `vocab.json` + `merges.txt`; `tokenizer_config.json` and
    /// `special_tokens_map.json` beside them where present. Throws FileError (missing, malformed)
    /// or UnsupportedError (a component that lowkey does not know, by its name).
    static std::shared_ptr<const Tokenizer> load(const std::string& directory);

    /// Ids of UTF-8 text (invalid bytes are taken as U+FFFD). Special tokens written in the text
    /// are parsed. `add_special_tokens`: with what the post-processor puts around a prompt (bos,
    /// …).
    [[nodiscard]] virtual std::vector<int32_t> encode(std::string_view text,
                                                      bool add_special_tokens) const = 0;

    /// Text of ids; bytes that form no UTF-8 become U+FFFD. Ids outside the vocabulary give
    /// nothing. `skip_special_tokens`: leave out tokens that are marked special.
    [[nodiscard]] virtual std::string decode(std::span<const int32_t> ids,
                                             bool skip_special_tokens) const = 0;

    /// Number of ids, added tokens included (the model's vocab_size may be larger).
    [[nodiscard]] virtual int64_t vocab_size() const = 0;
    [[nodiscard]] virtual std::optional<int32_t> bos_id() const = 0;
    [[nodiscard]] virtual std::optional<int32_t> eos_id() const = 0;
    /// The id of a token written exactly so, as `<|im_end|>`.
    [[nodiscard]] virtual std::optional<int32_t> token_id(std::string_view token) const = 0;
    [[nodiscard]] virtual bool is_special(int32_t id) const = 0;
};

/// Turns ids that come one at a time into text that comes in whole UTF-8 characters: what push()
/// returns, joined, is decode() of all ids (but for a trailing incomplete character, which finish()
/// gives).
class StreamingDecoder {
public:
    StreamingDecoder(const Tokenizer& tokenizer, bool skip_special_tokens);
    /// Text that has become certain with this id; may be empty.
    std::string push(int32_t id);
    /// The rest.
    std::string finish();

private:
    const Tokenizer& tokenizer_;
    bool skip_special_tokens_;
    std::vector<int32_t> ids_;
    size_t printed_ids_ = 0;  // ids_[0, printed_ids_) are context whose text is out
    size_t context_ids_ = 0;  // where decoding starts, so that it sees enough to the left
};

}  // namespace lowkey
