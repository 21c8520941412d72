#pragma once

#include <string>

#include "io/json_reader.h"

namespace lowkey {

/// Where Metaspace writes its mark though the text has no space.
enum class MetaspacePrepend { kAlways, kFirst, kNever };

/// A pre-tokenizer and decoder that writes spaces as a visible mark, as SentencePiece does.
struct MetaspaceOptions {
    std::string replacement;  ///< the mark: one character
    MetaspacePrepend prepend;
    bool split;  ///< cut before every mark
};

/// Reads it, in its newer form ("prepend_scheme") and the older ("add_prefix_space"). Throws
/// FileError.
MetaspaceOptions read_metaspace(const JsonReader& component);

}  // namespace lowkey
