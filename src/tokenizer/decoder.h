#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/json_reader.h"

namespace lowkey {

/// Part of the text of one token, on its way through a decoder. Stages that join tokens (as bytes
/// to characters) pass the joined token on in fragments as it becomes certain.
struct Fragment {
    std::string text;
    bool begins_token = true;
    bool ends_token = true;
};

/// One step of a decoder, with the state of one stream of tokens.
class DecodeStage {
public:
    virtual ~DecodeStage() = default;
    /// The same step in its initial state (which a stage that was never pushed to is in).
    [[nodiscard]] virtual std::unique_ptr<DecodeStage> clone() const = 0;
    /// Takes a fragment, appends those that it makes certain.
    virtual void push(const Fragment& in, std::vector<Fragment>& out) = 0;
    /// No more tokens come: appends what was kept back.
    virtual void finish(std::vector<Fragment>& out) = 0;
};

/// Turns tokens into text, as one run of all of them or one by one: both are the same code, so both
/// give the same text.
class Decoder {
public:
    /// Joins tokens with spaces, as files without a decoder ask.
    Decoder();
    /// Reads "decoder" of a tokenizer.json. Throws FileError, or UnsupportedError with the name of
    /// what lowkey does not know.
    explicit Decoder(const JsonReader& component);
    /// GPT-2's.
    static Decoder byte_level();

    Decoder(const Decoder& other);  ///< in its initial state
    Decoder& operator=(const Decoder& other) = delete;
    Decoder(Decoder&&) = default;
    Decoder& operator=(Decoder&&) = default;
    ~Decoder() = default;

    /// Text that has become certain with `token`.
    std::string push(std::string_view token);
    /// The rest. Nothing may be pushed afterwards.
    std::string finish();

private:
    explicit Decoder(std::unique_ptr<DecodeStage> stage);
    void add(const JsonReader& component);
    std::string run(std::vector<Fragment> fragments, size_t first_stage);

    std::vector<std::unique_ptr<DecodeStage>> stages_;
};

}  // namespace lowkey
