#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/json_reader.h"
#include "tokenizer/vocabulary.h"

namespace lowkey {

/// A part of PieceText::text, or an added token that stands there instead of text.
struct Piece {
    size_t begin;
    size_t end;
    int32_t token = kNoToken;  ///< an added token: stays as it is
};

/// Normalized text, cut into pieces. Bytes in no piece are dropped.
struct PieceText {
    std::string text;
    std::vector<Piece> pieces;

    [[nodiscard]] std::string_view view(const Piece& piece) const {
        return std::string_view(text).substr(piece.begin, piece.end - piece.begin);
    }
};

/// Cuts pieces into smaller ones (in the end: words), or rewrites them. Immutable, thread-safe.
class PreTokenizer {
public:
    virtual ~PreTokenizer() = default;
    virtual void apply(PieceText& pieces) const = 0;
};

/// Reads "pre_tokenizer" of a tokenizer.json. Throws FileError, or UnsupportedError with the name
/// of what lowkey does not know.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const JsonReader& component);

/// GPT-2's: cuts by its regular expression, then writes bytes in the byte-level alphabet.
std::unique_ptr<PreTokenizer> make_byte_level_pre_tokenizer(bool add_prefix_space);
/// With another expression, which stands in `where` (for messages). A space is added before each
/// part then. Throws FileError or UnsupportedError.
std::unique_ptr<PreTokenizer> make_byte_level_pre_tokenizer(bool add_prefix_space,
                                                            const std::string& pattern,
                                                            const std::string& where);

}  // namespace lowkey
