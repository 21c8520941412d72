#pragma once

#include <memory>

#include "io/json_reader.h"
#include "tokenizer/decoder.h"

namespace lowkey {

/// Token, space, token.
std::unique_ptr<DecodeStage> make_space_join_stage();
/// Byte-level alphabet to text.
std::unique_ptr<DecodeStage> make_byte_level_stage();
/// Any component but Sequence. Throws FileError, or UnsupportedError with its name.
std::unique_ptr<DecodeStage> make_decode_stage(const JsonReader& component);

}  // namespace lowkey
