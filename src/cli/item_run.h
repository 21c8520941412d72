#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/progress.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "eval/items.h"

namespace lowkey::cli {

/// --resume
void add_resume_flag(CLI::App& app, std::string& path);

/// What the results of any evaluation depend on: the program, model, tokenizer, plans, dtype,
/// instruction set, chunks, context, threads and budget; `evaluation` is its name.
nlohmann::json evaluation_settings(const char* evaluation, const CommonOptions& options,
                                   const std::vector<std::string>& plans, const Engine& engine);

/// An evaluation's way through its items: progress on stderr, an end between two items when Ctrl-C
/// is pressed, and a journal where --resume names one.
class ItemRun {
public:
    /// Opens the journal of `resume` (empty: none). `label` says what runs. Progress counts items
    /// and shows the mean of `score`; where that is empty, items differ, so it counts thousandths
    /// of the work and shows which item runs.
    ItemRun(std::string label, std::string score, const std::string& resume,
            const nlohmann::json& settings);
    ItemRun(const ItemRun&) = delete;
    ItemRun& operator=(const ItemRun&) = delete;

    [[nodiscard]] const ItemOptions& options() const { return options_; }

private:
    void show(const ItemProgress& now);

    std::string label_;
    std::string score_;
    Interrupt interrupt_;
    std::unique_ptr<Journal> journal_;
    std::optional<Progress> progress_;
    ItemOptions options_;
};

/// The engines, as evaluations take them; they must outlive this.
std::vector<Engine*> pointers_to(std::vector<Engine>& engines);

/// "cache    3.1 MiB of 12.0 MiB (26.0 %) ..."
void print_cache(const CacheUsage& cache, const char* when);

}  // namespace lowkey::cli
