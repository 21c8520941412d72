#pragma once

#include <memory>
#include <string>

#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"

namespace lowkey {

/// Reads vocab.json and merges.txt: byte-level BPE. How text is normalized and split before is what
/// `config.tokenizer_class` says (GPT2Tokenizer, Qwen2Tokenizer, ...), or, without one, the class
/// that models of `config.model_type` have. Special tokens are those of `config`, which also says
/// whether bos and eos surround a prompt. Throws FileError, or UnsupportedError with the name of a
/// class that lowkey does not know.
std::shared_ptr<const Tokenizer> load_vocab_and_merges(const std::string& vocab_path,
                                                       const std::string& merges_path,
                                                       TokenizerConfig config);

}  // namespace lowkey
