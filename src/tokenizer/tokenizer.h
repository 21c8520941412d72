#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lowkey {

/// Turns ids that come one at a time into text that comes in whole UTF-8 characters: what push()
/// returns, joined, and finish() are decode() of all ids. Time and memory of a push do not depend on
/// how many came before. One stream, one thread.
class TextStream {
public:
    virtual ~TextStream() = default;
    /// Text that has become certain with this id; may be empty.
    virtual std::string push(int32_t id) = 0;
    /// The rest, which no later id can make certain any more: a trailing incomplete character, a
    /// run of byte tokens. Nothing may be pushed afterwards.
    virtual std::string finish() = 0;
};

/// Whether special tokens that are written in a text are taken for what they are, or for text.
enum class SpecialText { kParse, kPlain };

/// Text to token ids and back. Immutable after loading; all methods are thread-safe.
class Tokenizer {
public:
    virtual ~Tokenizer() = default;

    /// Loads what a Hugging Face directory has: `tokenizer.json`, else `tokenizer.model`
    /// (SentencePiece), else `vocab.json` + `merges.txt`, else `tekken.json`; beside them
    /// `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` where present.
    /// Throws FileError (missing, malformed) or UnsupportedError (a component or class that lowkey
    /// does not know, by its name).
    static std::shared_ptr<const Tokenizer> load(const std::string& directory);
    /// A hash of all files that load() reads of a directory. Throws FileError when one cannot be
    /// read; without any it is the hash of nothing.
    static std::string fingerprint(const std::string& directory);

    /// Whether the directory has any of these files.
    static bool exists(const std::string& directory);

    /// Ids of UTF-8 text (invalid bytes are taken as U+FFFD). `add_special_tokens`: with what the
    /// post-processor puts around a prompt (bos, …). `special`: what becomes of special tokens that
    /// are written in the text.
    [[nodiscard]] virtual std::vector<int32_t> encode(std::string_view text,
                                                      bool add_special_tokens,
                                                      SpecialText special) const = 0;
    /// With special tokens in the text parsed.
    [[nodiscard]] std::vector<int32_t> encode(std::string_view text,
                                              bool add_special_tokens) const {
        return encode(text, add_special_tokens, SpecialText::kParse);
    }

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

}  // namespace lowkey
