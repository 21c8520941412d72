#pragma once

#include <memory>
#include <string>

#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"

namespace lowkey {

/// Reads a SentencePiece tokenizer.model. Control pieces that are written in a text, and the tokens
/// of `config`, are taken for what they are, as other kinds of tokenizers do; the library encodes
/// what lies between. bos stands before a prompt unless `config` says otherwise, eos behind it if
/// `config` says so. Throws FileError.
std::shared_ptr<const Tokenizer> load_sentencepiece(const std::string& path,
                                                    const TokenizerConfig& config);

}  // namespace lowkey
