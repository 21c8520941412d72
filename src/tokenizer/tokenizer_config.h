#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"

namespace lowkey {

/// What the files beside a tokenizer's own say of it: tokenizer_config.json, special_tokens_map.json
/// and added_tokens.json.
struct TokenizerConfig {
    /// "tokenizer_class" without "Fast" at its end; of config.json where the tokenizer's own file
    /// has none; empty when neither has one.
    std::string tokenizer_class;
    std::string model_type;  ///< of config.json, read only where no file has a class
    /// Texts of the tokens that have a name, as "pad_token", and as templates see them: roles that
    /// all tokenizers know and names of a model's own ("image_token").
    std::map<std::string, std::string> role_tokens;
    std::optional<std::string> bos_token;
    std::optional<std::string> eos_token;
    std::optional<bool> add_bos_token;
    std::optional<bool> add_eos_token;
    std::optional<bool> add_prefix_space;
    std::optional<bool> legacy;  ///< of SentencePiece: every part of a text begins with a space
    /// Tokens of all names and the further special ones, without ids; each text once, in the order
    /// in which new ids are given.
    std::vector<AddedToken> special_tokens;
    /// Tokens with ids, by id: those of "added_tokens_decoder", else of added_tokens.json.
    std::vector<AddedToken> added_tokens;
    /// Whether flags of `added_tokens` count more than those of a tokenizer.json.
    bool overrules = false;
    std::string directory;  ///< for messages

    /// Sets a named token that the files say nothing of, not even that there is none.
    void set_default(const std::string& name, const std::string& text);
    /// Names that the files hold, null ones too.
    std::vector<std::string> mentioned;
};

/// Reads the files of a model's directory that are present. special_tokens_map.json and
/// added_tokens.json count only where tokenizer_config.json has no "added_tokens_decoder", then the
/// former before tokenizer_config.json. Throws FileError.
TokenizerConfig read_tokenizer_config(const std::string& directory);

}  // namespace lowkey
