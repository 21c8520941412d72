#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lowkey {

/// Decodes ids that come one at a time: what push() returns, joined, and finish() give decode() of
/// all ids. One stream, one thread.
class TextStream {
public:
    virtual ~TextStream() = default;
    virtual std::string push(int32_t id) = 0;
    virtual std::string finish() = 0;
};

/// Text to token ids and back. Immutable after loading; all methods are thread-safe.
class Tokenizer {
public:
    virtual ~Tokenizer() = default;

    /// Loads what a Hugging Face directory has: `tokenizer.json`, else `tokenizer.model`
    /// (SentencePiece), else `vocab.json` + `merges.txt`; `tokenizer_config.json` and
    /// `special_tokens_map.json` beside them where present. Throws FileError (missing, malformed)
    /// or UnsupportedError (a component that lowkey does not know, by its name).
    static std::shared_ptr<const Tokenizer> load(const std::string& directory);
    /// A hash of all files that load() reads of a directory. Throws FileError when one cannot be
    /// read; without any it is the hash of nothing.
    static std::string fingerprint(const std::string& directory);

    /// Whether the directory has any of these files.
    static bool exists(const std::string& directory);

    /// Ids of UTF-8 text (invalid bytes are taken as U+FFFD). Special tokens written in the text
    /// are parsed. `add_special_tokens`: with what the post-processor puts around a prompt (bos,
    /// …).
    [[nodiscard]] virtual std::vector<int32_t> encode(std::string_view text,
                                                      bool add_special_tokens) const = 0;

    /// Text of ids; bytes that form no UTF-8 become U+FFFD. Ids outside the vocabulary give
    /// nothing. `skip_special_tokens`: leave out tokens that are marked special.
    [[nodiscard]] virtual std::string decode(std::span<const int32_t> ids,
                                             bool skip_special_tokens) const = 0;

    /// A new stream that decodes as decode() does. The tokenizer must outlive it.
    [[nodiscard]] virtual std::unique_ptr<TextStream> stream(bool skip_special_tokens) const = 0;

    /// One more than the greatest id, added tokens included (the model's vocab_size may be larger).
    [[nodiscard]] virtual int64_t vocab_size() const = 0;
    [[nodiscard]] virtual std::optional<int32_t> bos_id() const = 0;
    [[nodiscard]] virtual std::optional<int32_t> eos_id() const = 0;
    /// The id of a token written exactly so, as `<|im_end|>`.
    [[nodiscard]] virtual std::optional<int32_t> token_id(std::string_view token) const = 0;
    [[nodiscard]] virtual bool is_special(int32_t id) const = 0;
};

/// Turns ids that come one at a time into text that comes in whole UTF-8 characters: what push()
/// returns, joined, is decode() of all ids (but for what no later id can make certain any more,
/// which finish() gives: a trailing incomplete character, a run of byte tokens). Time and memory of
/// a push do not depend on how many came before.
class StreamingDecoder {
public:
    /// The tokenizer must outlive the decoder.
    StreamingDecoder(const Tokenizer& tokenizer, bool skip_special_tokens);
    /// Text that has become certain with this id; may be empty.
    std::string push(int32_t id);
    /// The rest; then the decoder starts anew.
    std::string finish();

private:
    const Tokenizer& tokenizer_;
    bool skip_special_tokens_;
    std::unique_ptr<TextStream> stream_;
};

}  // namespace lowkey
