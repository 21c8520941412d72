#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json_reader.h"

namespace lowkey {

/// One question: what the model is asked to find likely.
struct ZeroshotItem {
    /// A context and what may follow it.
    struct Choice {
        std::string context;
        std::string continuation;
        /// Characters (code points) of the answer as the data has it, which its log-likelihood is
        /// divided by for normalised accuracy.
        int64_t length = 0;
    };
    std::vector<Choice> choices;  ///< equal contexts are neighbours
    int64_t gold = 0;             ///< index of the right choice
};

/// A zero-shot task, its prompts written exactly as lm-evaluation-harness writes them, without
/// examples.
struct ZeroshotTask {
    const char* name;
    const char* about;
    /// Reads one record of the task's data set, as Hugging Face serves it. `label` is that of a
    /// file beside, where there is one. Throws FileError.
    ZeroshotItem (*read)(const JsonReader& record, std::optional<int64_t> label);
    /// The harness also reports accuracy by log-likelihood per character.
    bool normalized = false;
    /// Instead of a choice: is the one continuation what the model would write? Its perplexity is
    /// reported too.
    bool cloze = false;
    /// Labels may lie in NAME-labels.lst beside NAME.jsonl, one per line.
    bool labels_beside = false;
};

/// All tasks; a new one is a function and a row of this table.
const std::vector<ZeroshotTask>& zeroshot_tasks();
/// Throws UsageError with all names when there is no such task.
const ZeroshotTask& zeroshot_task(std::string_view name);

/// The first `limit` items (0: all) of a task's .jsonl file, or of the one such file in a folder.
/// Throws FileError naming file and line, UsageError when a folder has more than one file.
std::vector<ZeroshotItem> read_zeroshot_items(const ZeroshotTask& task, const std::string& path,
                                              int64_t limit);

}  // namespace lowkey
