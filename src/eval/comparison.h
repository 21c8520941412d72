#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compress/plan_file.h"
#include "eval/items.h"
#include "eval/needle.h"
#include "eval/speed.h"
#include "eval/zeroshot.h"
#include "report/comparison_report.h"

namespace lowkey {

/// A plan that takes part.
struct Contestant {
    std::string name = {};
    PlanFile plan = {};
};

/// What to ask of every cache. Empty vectors leave an evaluation out.
struct ComparisonTasks {
    std::vector<std::span<const int32_t>> windows = {};  ///< of one length
    int64_t prefill = 1024;                              ///< tokens of a window that are a prompt
    std::vector<std::string> haystack = {};
    NeedleOptions needle = {};
    const ZeroshotTask* task = nullptr;
    std::vector<ZeroshotItem> questions = {};
    ZeroshotOptions zeroshot = {};
    SpeedOptions speed = {};            ///< depths only; its prompts and callback are not used
    std::vector<int64_t> lengths = {};  ///< for which bytes are counted, ascending
    std::vector<std::pair<std::string, std::vector<int32_t>>> prompts = {};  ///< name, tokens
    int64_t max_new_tokens = 64;                                             ///< of a sample
};

/// Runs the model under the uncompressed cache and under each plan, an item at a time. The report's
/// rows are the caches; what describes machine, files and commands is left to the caller. All of
/// it but speed is deterministic. `engine_options` are those of each cache; an item of `how` is a
/// prompt, window or question with all of them. Throws UsageError for plans of another model, and
/// what the evaluations refuse, before the first item runs; FileError when the journal holds what
/// this comparison did not write.
ComparisonReport compare(const std::shared_ptr<const Model>& model, const Tokenizer& tokenizer,
                         std::span<const Contestant> plans, const ComparisonTasks& tasks,
                         const EngineOptions& engine_options = {}, const ItemOptions& how = {});

}  // namespace lowkey
