#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/json_reader.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/regex.h"

namespace lowkey {

/// What becomes of the matches (the delimiters) when a piece is cut at them.
enum class SplitBehavior {
    kRemoved,             ///< dropped
    kIsolated,            ///< pieces of their own
    kMergedWithPrevious,  ///< end the piece before
    kMergedWithNext,      ///< begin the piece behind
    kContiguous,          ///< neighbouring matches become one piece
};

/// Reads "Removed", "isolated", "MergedWithNext", ...: the member `key` of a component.
SplitBehavior read_split_behavior(const JsonReader& component, const std::string& key);

/// A part of a text, and whether the pattern matched it.
struct SplitPart {
    TextRange range;
    bool is_match;
};

/// Appends the pieces that `parts` (which cover a text without gaps) make, moved by `offset`.
void append_split(const std::vector<SplitPart>& parts, SplitBehavior behavior, size_t offset,
                  std::vector<Piece>& out);

/// Cuts all pieces. `find(view, on_match)` calls on_match(TextRange) for every match of a piece;
/// `invert`: what lies between matches counts as match.
template <typename Find>
void split_pieces(PieceText& pieces, SplitBehavior behavior, bool invert, const Find& find) {
    std::vector<Piece> out;
    out.reserve(pieces.pieces.size());
    std::vector<SplitPart> parts;
    for (const Piece& piece : pieces.pieces) {
        if (piece.token != kNoToken) {
            out.push_back(piece);
            continue;
        }
        parts.clear();
        size_t covered = 0;
        const std::string_view view = pieces.view(piece);
        find(view, [&](TextRange match) {
            if (match.begin > covered) parts.push_back({{covered, match.begin}, invert});
            parts.push_back({match, !invert});
            covered = match.end;
        });
        if (covered < view.size()) parts.push_back({{covered, view.size()}, invert});
        append_split(parts, behavior, piece.begin, out);
    }
    pieces.pieces = std::move(out);
}

}  // namespace lowkey
