#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "eval/items.h"
#include "eval/side_by_side.h"

namespace lowkey {

class Tokenizer;

/// What is hidden in the haystack, and asked for at its end.
enum class NeedleKind {
    kNumber,   ///< a seven-digit number under a key, among further keys (as RULER's niah)
    kSentence  ///< a sentence about a city (the usual single needle), scored by its number
};

/// How to test retrieval. Sources: Needle in a Haystack (Kamradt 2023); RULER (arXiv 2404.06654).
struct NeedleOptions {
    std::vector<int64_t> lengths = {1024, 4096};  ///< tokens of a whole prompt
    std::vector<double> depths = {0, 0.25, 0.5, 0.75, 1};
    int64_t trials = 3;
    int64_t needles = 1;  ///< in all; one of them is asked for, the others lie anywhere
    NeedleKind kind = NeedleKind::kNumber;
    uint64_t seed = 0;
    /// Feed the question token by token, through the cache that the text has left behind.
    bool decode_question = false;
};

/// One prompt of the test.
struct NeedlePrompt {
    std::vector<int32_t> text;  ///< the haystack with its needles
    std::vector<int32_t> question;
    std::string answer;  ///< the digits that must come
};

/// Share of trials in which the number came.
struct NeedleCell {
    int64_t length = 0;
    double depth = 0;
    double score = 0;
};

struct NeedleResult {
    std::vector<NeedleCell> grid;  ///< depths of the first length, then of the second, …
    double mean = 0;
    CacheUsage cache;  ///< of the longest sequence, at the end of its answer
};

/// Tokens of texts, one after another, as hay: shared by all prompts.
std::vector<int32_t> tokenize_haystack(const Tokenizer& tokenizer,
                                       std::span<const std::string> texts);

/// A prompt of exactly `length` tokens with the needle that is asked for at `depth` (0: before the
/// text, 1: at its end), moved back to the end of a sentence if one is near. The same seed gives
/// the same prompt. Throws UsageError when the haystack is too short, or the length too small for
/// needles and question.
NeedlePrompt make_needle_prompt(const Tokenizer& tokenizer, std::span<const int32_t> haystack,
                                int64_t length, double depth, const NeedleOptions& options,
                                uint64_t seed);

/// Whether the first number in `text` is `answer`.
bool answers(const std::string& text, const std::string& answer);

/// Tokens of an answer at most: seven digits, one a token perhaps, and words before them.
inline constexpr int64_t kNeedleAnswerTokens = 24;

/// Length and depth of each prompt of a test, in the order in which they are put.
std::vector<NeedleCell> needle_places(const NeedleOptions& options);

/// The prompts of the whole grid, each put to all engines, which must outlive the items, as must
/// the tokenizer. `score` is 1 where the number came. Throws UsageError for options out of range
/// and what make_needle_prompt() refuses.
std::vector<EvalItem> needle_items(std::span<Engine* const> engines, const Tokenizer& tokenizer,
                                   std::span<const std::string> haystack,
                                   const NeedleOptions& options, Stepping stepping);

/// The whole grid, greedy, under several plans: each engine's result, as if it ran alone. The
/// engines are made of one model; each prompt is computed once for all plans that attend to it
/// exactly (see prefill_shared()). An item is a prompt. Throws what needle_items() refuses, before
/// the first prompt runs.
std::vector<NeedleResult> evaluate_needles(std::span<Engine* const> engines,
                                           const Tokenizer& tokenizer,
                                           std::span<const std::string> haystack,
                                           const NeedleOptions& options,
                                           const ItemOptions& how = {});
/// The same of one engine.
NeedleResult evaluate_needle(Engine& engine, const Tokenizer& tokenizer,
                             std::span<const std::string> haystack, const NeedleOptions& options,
                             const ItemOptions& how = {});

}  // namespace lowkey
