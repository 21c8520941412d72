#pragma once

#include <memory>
#include <string>

#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"

namespace lowkey {

/// Reads a SentencePiece tokenizer.model. Special tokens written in a text stay text: that is how
/// the library encodes. bos stands before a prompt unless `config` says otherwise, eos behind it if
/// `config` says so. Throws FileError.
std::shared_ptr<const Tokenizer> load_sentencepiece(const std::string& path,
                                                    const TokenizerConfig& config);

}  // namespace lowkey
