#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/checkpoint.h"

namespace lowkey {

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

}  // namespace lowkey
