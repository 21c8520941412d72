#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"

namespace lowkey {

/// What tokenizer_config.json and special_tokens_map.json say that the tokenizer's own files do
/// not.
struct TokenizerConfig {
    /// Texts of the tokens that have a role, as "pad_token".
    std::map<std::string, std::string> role_tokens;
    std::optional<std::string> bos_token;
    std::optional<std::string> eos_token;
    std::optional<bool> add_bos_token;
    std::optional<bool> add_eos_token;
    bool add_prefix_space = false;
    /// Tokens of all roles (bos, pad, ...), special, without ids; each text once.
    std::vector<AddedToken> special_tokens;
    /// "added_tokens_decoder": tokens with ids.
    std::vector<AddedToken> added_tokens;
};

/// Reads both files of a model's directory where they are present; the first counts more. Throws
/// FileError.
TokenizerConfig read_tokenizer_config(const std::string& directory);

}  // namespace lowkey
