#pragma once

#include <cstddef>
#include <cstdint>

/// What the library `tokenizers` knows of characters (Unicode 16 but for a few components), as
/// scripts/make_unicode_tables.py found it. Read through base/unicode.h and base/code_points.h.
namespace lowkey::unicode_tables {

/// first code point << 8 | value, from U+0000 on: the values of `enum class Category`, ...
extern const uint32_t kCategoryRuns[];
extern const size_t kNumCategoryRuns;
/// ... numbers of scripts, 1 being the first name, 0 for none, ...
extern const uint32_t kScriptRuns[];
extern const size_t kNumScriptRuns;
extern const char* const kScriptNames[];  ///< in lower case, without spaces, '_' and '-'
extern const char* const kScriptCodes[];  ///< of ISO 15924
extern const size_t kNumScripts;
/// ... canonical combining classes.
extern const uint32_t kOrderRuns[];
extern const size_t kNumOrderRuns;

/// Sets of code points: ranges (first, last), each edge as its distance from the one before (the
/// first from 0), from kPropertyEdges[begin] on.
struct PropertyEntry {
    const char* name;  ///< as script names
    uint32_t begin;
    uint32_t num_ranges;
};
extern const uint32_t kPropertyEdges[];
extern const PropertyEntry kProperties[];  ///< sorted by name
extern const size_t kNumProperties;

/// Pairs (code point, its other case), sorted.
extern const uint32_t kLower[];
extern const size_t kNumLower;
extern const uint32_t kUpper[];
extern const size_t kNumUpper;
extern const uint32_t kTitle[];  ///< where it differs from the upper case
extern const size_t kNumTitle;

/// Whole decompositions: code point, number of parts, parts; sorted. Compatible ones only where
/// they differ.
extern const uint32_t kCanonical[];
extern const size_t kNumCanonical;
extern const uint32_t kCompatible[];
extern const size_t kNumCompatible;
/// Triples (first, second, what they make), sorted. Hangul is not in these tables.
extern const uint32_t kCompositions[];
extern const size_t kNumCompositions;

}  // namespace lowkey::unicode_tables
