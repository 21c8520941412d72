#pragma once

#include <cstdint>
#include <vector>

#include "io/json_reader.h"
#include "tokenizer/vocabulary.h"

namespace lowkey {

/// What is put around the ids of a text.
struct PostProcessor {
    std::vector<int32_t> before;
    std::vector<int32_t> behind;
};

/// Reads "post_processor" of a tokenizer.json: what it does to a single text. Throws FileError, or
/// UnsupportedError with the name of what lowkey does not know.
PostProcessor read_post_processor(const JsonReader& component);

}  // namespace lowkey
