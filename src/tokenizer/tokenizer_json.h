#pragma once

#include <memory>
#include <string>

#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"

namespace lowkey {

/// Reads a tokenizer.json of the Hugging Face library `tokenizers`. What surrounds a prompt is what
/// its post-processor says, whatever `config` says of bos and eos. Throws FileError or
/// UnsupportedError.
std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::string& path,
                                                     const TokenizerConfig& config);

}  // namespace lowkey
