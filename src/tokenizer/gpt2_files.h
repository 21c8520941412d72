#pragma once

#include <memory>
#include <string>

#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"

namespace lowkey {

/// Reads the vocab.json and merges.txt of GPT-2 and its like (OPT): byte-level BPE. The special
/// tokens are those of `config`, which also says whether bos and eos surround a prompt. Throws
/// FileError.
std::shared_ptr<const Tokenizer> load_gpt2_files(const std::string& vocab_path,
                                                 const std::string& merges_path,
                                                 const TokenizerConfig& config);

}  // namespace lowkey
