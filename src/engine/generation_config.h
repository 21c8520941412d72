#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/checkpoint.h"

namespace lowkey {

class Model;
class Tokenizer;

/// The tokens that begin and end a generation.
struct GenerationConfig {
    std::optional<int32_t> bos_id;
    std::vector<int32_t> eos_ids;  ///< any of them ends it; sorted, may be empty
};

/// Reads `bos_token_id` and `eos_token_id` (an integer or a list), each from
/// `generation_config.json`, else `config.json`, else from the tokenizer where one is given. Throws
/// FileError for values that are no token ids.
GenerationConfig read_generation_config(const Checkpoint& checkpoint,
                                        const Tokenizer* tokenizer = nullptr);

/// The token that this tokenizer puts before every prompt, if it does.
std::optional<int32_t> leading_token(const Tokenizer& tokenizer);
/// A token that begins a document: the leading token, else the configuration's bos, else eos.
/// Throws UsageError if none.
int32_t document_start(const Tokenizer& tokenizer, const Model& model);

}  // namespace lowkey
