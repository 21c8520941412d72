#pragma once

#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/tokenizer_config.h"
#include "tokenizer/vocabulary.h"

namespace lowkey {

/// The added tokens of a tokenizer: its own file's (`own`, contents and ids unique), overruled by
/// those that `config` has with ids, and behind them its special tokens, each with the id that its
/// text has in `vocabulary`, or the next free one. An id that `config` gives to another text than
/// the vocabulary is the new text's: such files rename placeholders. Throws FileError when there are
/// too many ids.
std::vector<AddedToken> merge_added_tokens(std::vector<AddedToken> own,
                                           const TokenizerConfig& config,
                                           const Vocabulary& vocabulary);

}  // namespace lowkey
