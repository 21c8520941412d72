#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "eval/items.h"
#include "eval/sentences.h"

namespace lowkey {

class Tokenizer;

/// Synthetic tasks on long texts, after RULER, with words and noise of our own.
/// Source: RULER (arXiv 2404.06654), section 3 and appendix B.
struct RulerOptions {
    std::vector<std::string> tasks = {};          ///< names of ruler_tasks(); none: all of them
    std::vector<int64_t> lengths = {1024, 4096};  ///< tokens of a prompt and its answer's room
    int64_t samples = 5;                          ///< per task and length
    uint64_t seed = 0;
    std::vector<int32_t> eos_ids = {};  ///< any of them ends an answer
};

/// One prompt.
struct RulerPrompt {
    std::vector<int32_t> tokens;
    std::vector<std::string> answers;  ///< all of which the model should write
    int64_t max_new_tokens = 0;
};

/// Share of samples' answers that were written, mean over samples.
struct RulerCell {
    std::string task;
    int64_t length = 0;
    double score = 0;
};

struct RulerResult {
    std::vector<RulerCell> cells;  ///< lengths of the first task, then of the second, …
    double mean = 0;
    CacheUsage cache;  ///< of the longest prompt, at the end of its answer
};

/// niah_single, niah_multikey, niah_multivalue, niah_multiquery, vt, cwe
std::vector<std::string> ruler_tasks();

/// The longest prompt of a task that leaves room for its answer within `length` tokens. Noise
/// begins at a random one of `sentences` and repeats when they end; none: sentences of our own. The
/// same seed gives the same prompt. Throws UsageError when the length is too small.
RulerPrompt make_ruler_prompt(const Tokenizer& tokenizer, std::string_view task,
                              std::span<const std::string> sentences, int64_t length,
                              uint64_t seed);

/// The share of `answers` that stand somewhere in the text, in whatever case.
double string_match_all(std::string_view text, std::span<const std::string> answers);

/// All tasks and lengths, greedy. Throws UsageError for options out of range and what
/// make_ruler_prompt() refuses, before the first prompt runs.
std::vector<RulerResult> evaluate_ruler(std::span<Engine* const> engines,
                                        const Tokenizer& tokenizer,
                                        std::span<const std::string> sentences,
                                        const RulerOptions& options, const ItemOptions& how = {});
/// The same of one engine.
RulerResult evaluate_ruler(Engine& engine, const Tokenizer& tokenizer,
                           std::span<const std::string> sentences, const RulerOptions& options,
                           const ItemOptions& how = {});

}  // namespace lowkey
