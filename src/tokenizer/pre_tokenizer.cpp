#include "tokenizer/pre_tokenizer.h"

#include <optional>

#include "base/code_points.h"
#include "base/unicode.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/component.h"
#include "tokenizer/metaspace.h"
#include "tokenizer/split.h"
#include "tokenizer/text_pattern.h"

namespace lowkey {
namespace {

// The library `tokenizers` takes each of these from a Unicode version of its own.
const CodePointMap& characters(const char* name) {
    static const CodePointMap numeric(*CodePointSet::with_property("tokenizers numeric"));
    static const CodePointMap punctuation(*CodePointSet::with_property("tokenizers punctuation"));
    return std::string_view(name) == "numeric" ? numeric : punctuation;
}

// Every character that `is` accepts is a match of its own.
template <typename IsMatch>
void split_at_chars(PieceText& pieces, SplitBehavior behavior, const IsMatch& is) {
    split_pieces(pieces, behavior, false, [&](std::string_view view, const auto& on_match) {
        for (size_t pos = 0; pos < view.size();) {
            const size_t start = pos;
            if (is(next_code_point(view, pos))) on_match(TextRange{start, pos});
        }
    });
}

void split_at_pattern(PieceText& pieces, SplitBehavior behavior, bool invert,
                      const TextPattern& pattern) {
    TextPattern::Finder finder(pattern);
    split_pieces(pieces, behavior, invert, [&](std::string_view view, const auto& on_match) {
        finder.find_all(view, on_match);
    });
}

// Replaces the text of every piece by what append(out, view, is_first) writes.
template <typename Append>
void rewrite_pieces(PieceText& pieces, const Append& append) {
    std::string out;
    out.reserve(pieces.text.size() + pieces.text.size() / 2);
    for (size_t i = 0; i < pieces.pieces.size(); ++i) {
        Piece& piece = pieces.pieces[i];
        if (piece.token != kNoToken) continue;
        const size_t begin = out.size();
        append(out, pieces.view(piece), i == 0 && piece.begin == 0);
        piece.begin = begin;
        piece.end = out.size();
    }
    pieces.text = std::move(out);
}

class SequencePreTokenizer : public PreTokenizer {
public:
    explicit SequencePreTokenizer(std::vector<std::unique_ptr<PreTokenizer>> parts)
        : parts_(std::move(parts)) {}
    explicit SequencePreTokenizer(const JsonReader& component) {
        for (const JsonReader& part : component.at("pretokenizers").items())
            parts_.push_back(make_pre_tokenizer(part));
    }
    void apply(PieceText& pieces) const override {
        for (const auto& part : parts_) part->apply(pieces);
    }

private:
    std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

class SplitPreTokenizer : public PreTokenizer {
public:
    explicit SplitPreTokenizer(const JsonReader& component)
        : pattern_(component),
          behavior_(read_split_behavior(component, "behavior")),
          invert_(component.boolean_or("invert", false)) {}
    SplitPreTokenizer(TextPattern pattern, SplitBehavior behavior, bool invert)
        : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
    void apply(PieceText& pieces) const override {
        split_at_pattern(pieces, behavior_, invert_, pattern_);
    }

private:
    TextPattern pattern_;
    SplitBehavior behavior_;
    bool invert_;
};

class ByteLevelPreTokenizer : public PreTokenizer {
public:
    ByteLevelPreTokenizer(bool add_prefix_space, bool use_regex)
        : add_prefix_space_(add_prefix_space) {
        constexpr const char* gpt2 =
            "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
        if (use_regex) pattern_.emplace(gpt2, "ByteLevel");
    }
    void apply(PieceText& pieces) const override {
        if (add_prefix_space_) {
            rewrite_pieces(pieces, [](std::string& out, std::string_view view, bool) {
                if (!view.starts_with(' ')) out += ' ';
                out += view;
            });
        }
        if (pattern_) split_at_pattern(pieces, SplitBehavior::kIsolated, false, *pattern_);
        rewrite_pieces(pieces, [&](std::string& out, std::string_view view, bool) {
            alphabet_.append_mapped(out, view);
        });
    }

private:
    bool add_prefix_space_;
    std::optional<TextPattern> pattern_;
    ByteLevelAlphabet alphabet_;
};

class DigitsPreTokenizer : public PreTokenizer {
public:
    explicit DigitsPreTokenizer(const JsonReader& component)
        : behavior_(component.boolean_or("individual_digits", false) ? SplitBehavior::kIsolated
                                                                     : SplitBehavior::kContiguous) {
    }
    void apply(PieceText& pieces) const override {
        split_at_chars(pieces, behavior_, [&](char32_t c) { return numeric_[c] != 0; });
    }

private:
    SplitBehavior behavior_;
    const CodePointMap& numeric_ = characters("numeric");
};

class PunctuationPreTokenizer : public PreTokenizer {
public:
    explicit PunctuationPreTokenizer(const JsonReader& component)
        : behavior_(component.has("behavior") ? read_split_behavior(component, "behavior")
                                              : SplitBehavior::kIsolated) {}
    void apply(PieceText& pieces) const override {
        split_at_chars(pieces, behavior_, [&](char32_t c) { return punctuation_[c] != 0; });
    }

private:
    SplitBehavior behavior_;
    const CodePointMap& punctuation_ = characters("punctuation");
};

class WhitespaceSplitPreTokenizer : public PreTokenizer {
public:
    void apply(PieceText& pieces) const override {
        split_at_chars(pieces, SplitBehavior::kRemoved, is_white_space);
    }
};

class MetaspacePreTokenizer : public PreTokenizer {
public:
    explicit MetaspacePreTokenizer(const JsonReader& component)
        : options_(read_metaspace(component)) {}
    void apply(PieceText& pieces) const override {
        const std::string& mark = options_.replacement;
        rewrite_pieces(pieces, [&](std::string& out, std::string_view view, bool is_first) {
            const bool wanted = options_.prepend == MetaspacePrepend::kAlways ||
                                (options_.prepend == MetaspacePrepend::kFirst && is_first);
            if (wanted && !view.starts_with(' ') && !view.starts_with(mark)) out += mark;
            for (const char c : view) {
                if (c == ' ') {
                    out += mark;
                } else {
                    out += c;
                }
            }
        });
        if (!options_.split) return;
        const char32_t c = first_code_point(mark);
        split_at_chars(pieces, SplitBehavior::kMergedWithNext,
                       [c](char32_t other) { return other == c; });
    }

private:
    MetaspaceOptions options_;
};

}  // namespace

std::unique_ptr<PreTokenizer> make_byte_level_pre_tokenizer(bool add_prefix_space) {
    return std::make_unique<ByteLevelPreTokenizer>(add_prefix_space, true);
}

std::unique_ptr<PreTokenizer> make_byte_level_pre_tokenizer(bool add_prefix_space,
                                                            const std::string& pattern,
                                                            const std::string& where) {
    std::vector<std::unique_ptr<PreTokenizer>> parts;
    parts.push_back(std::make_unique<SplitPreTokenizer>(TextPattern(pattern, where),
                                                        SplitBehavior::kIsolated, false));
    parts.push_back(std::make_unique<ByteLevelPreTokenizer>(add_prefix_space, false));
    return std::make_unique<SequencePreTokenizer>(std::move(parts));
}

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const JsonReader& component) {
    const std::string type = component.at("type").string();
    if (type == "Sequence") return std::make_unique<SequencePreTokenizer>(component);
    if (type == "Split") return std::make_unique<SplitPreTokenizer>(component);
    if (type == "ByteLevel") {
        return std::make_unique<ByteLevelPreTokenizer>(
            component.boolean_or("add_prefix_space", true),
            component.boolean_or("use_regex", true));
    }
    if (type == "Digits") return std::make_unique<DigitsPreTokenizer>(component);
    if (type == "Punctuation") return std::make_unique<PunctuationPreTokenizer>(component);
    if (type == "Metaspace") return std::make_unique<MetaspacePreTokenizer>(component);
    if (type == "Whitespace") {
        // Words here include the joiners, unlike \w of the files' own patterns.
        return std::make_unique<SplitPreTokenizer>(
            TextPattern("[\\w\\x{200C}\\x{200D}]+|[^\\w\\s\\x{200C}\\x{200D}]+", type),
            SplitBehavior::kRemoved, true);
    }
    if (type == "WhitespaceSplit") return std::make_unique<WhitespaceSplitPreTokenizer>();
    unsupported_component("pre-tokenizer", type, component);
}

}  // namespace lowkey
