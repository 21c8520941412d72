#pragma once

#include <memory>
#include <string>

#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"

namespace lowkey {

/// Reads Mistral's tekken.json: the bytes of tokens by rank, a pattern that cuts words, and special
/// tokens, which have the first ids. bos (`<s>`) stands before a prompt unless `config` says
/// otherwise. Throws FileError or UnsupportedError.
std::shared_ptr<const Tokenizer> load_tekken(const std::string& path, TokenizerConfig config);

}  // namespace lowkey
