#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "eval/items.h"

namespace lowkey {

class Tokenizer;

/// How answers to one of LongBench's data sets are asked for and scored.
/// Source: LongBench (arXiv 2308.14508); the wording of prompts is our own.
struct LongBenchSet {
    const char* name;
    const char* prompt;       ///< {context} and {input} stand for the record's
    int64_t max_new_tokens;   ///< as LongBench has it
    const char* metric;       ///< a row of the table of metrics
    bool first_line = false;  ///< only the answer's first line counts
};

/// All data sets; a new one is a row of this table.
const std::vector<LongBenchSet>& longbench_sets();

/// One question.
struct LongBenchItem {
    std::string prompt;
    std::vector<std::string> answers;  ///< any of them is right; one at least
    std::vector<std::string> classes;  ///< that an answer can name, of classification
};

/// A file of questions, all of one data set.
struct LongBenchData {
    const LongBenchSet* set = nullptr;
    std::vector<LongBenchItem> items;
};

struct LongBenchOptions {
    /// Tokens of a prompt; of a longer one the middle is left out. 0: what the model's context
    /// holds beside the answer.
    int64_t max_length = 0;
    std::vector<int32_t> eos_ids = {};  ///< any of them ends an answer
};

struct LongBenchResult {
    double score = 0;  ///< 0 to 1; LongBench's tables have it times 100
    int64_t n = 0;
    CacheUsage cache;  ///< of the longest prompt, at the end of its answer
};

/// The first `limit` questions (0: all) of a file as LongBench publishes it; the set is named in
/// the records. Throws FileError naming file and line, UnsupportedError for an unknown set.
LongBenchData read_longbench(const std::string& path, int64_t limit);

/// A hash of all that the items ask.
std::string fingerprint(const LongBenchData& data);

/// The best score of an answer against the right ones.
double score_longbench(const LongBenchSet& set, const LongBenchItem& item, std::string_view answer);

/// Asks all questions, greedily and without a chat template. Throws UsageError when max_length
/// leaves no room for prompt and answer.
std::vector<LongBenchResult> evaluate_longbench(std::span<Engine* const> engines,
                                                const Tokenizer& tokenizer,
                                                const LongBenchData& data,
                                                const LongBenchOptions& options,
                                                const ItemOptions& how = {});
/// The same of one engine.
LongBenchResult evaluate_longbench(Engine& engine, const Tokenizer& tokenizer,
                                   const LongBenchData& data, const LongBenchOptions& options,
                                   const ItemOptions& how = {});

}  // namespace lowkey
