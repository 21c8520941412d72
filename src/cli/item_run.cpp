#include "cli/item_run.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/hash.h"
#include "base/mapped_file.h"
#include "base/parallel.h"
#include "base/size.h"
#include "kernels/kernels.h"

namespace lowkey::cli {

void add_resume_flag(CLI::App& app, std::string& path) {
    app.add_option("--resume", path,
                   "keep finished items here; with the same settings, go on after them")
        ->type_name("FILE.jsonl");
}

nlohmann::json evaluation_settings(const char* evaluation, const CommonOptions& options,
                                   const std::vector<std::string>& plans, const Engine& engine) {
    nlohmann::json plan;
    for (const std::string& path : plans) {
        Hasher hasher;
        hasher.add(MappedFile(path).bytes());
        if (plans.size() == 1) {
            plan = hasher.hex();
        } else {
            plan.push_back(hasher.hex());
        }
    }
    return {{"evaluation", evaluation},
            {"version", LOWKEY_VERSION},
            {"model", engine.model().fingerprint()},
            {"tokenizer", Tokenizer::fingerprint(model_directory(options.model))},
            {"plan", plan},
            {"plan_files", plans},
            {"dtype", options.dtype},
            {"isa", kernels().isa},
            {"chunk", options.prefill_chunk},
            // Orders of sums: more threads split them otherwise, and where a budget has room for
            // few sequences, fewer share a pass.
            {"threads", num_threads()},
            {"kv_budget", options.kv_budget},
            {"max_context", engine.model().max_context()}};
}

ItemRun::ItemRun(std::string label, std::string score, const std::string& resume,
                 const nlohmann::json& settings)
    : label_(std::move(label)), score_(std::move(score)) {
    if (!resume.empty()) journal_ = std::make_unique<Journal>(resume, settings);
    options_.journal = journal_.get();
    options_.on_progress = [this](const ItemProgress& now) { show(now); };
    options_.should_stop = Interrupt::pressed;
}

void ItemRun::show(const ItemProgress& now) {
    constexpr int64_t kParts = 1000;
    const bool counts_items = !score_.empty();
    const int64_t done = counts_items ? now.done : std::lround(now.share * kParts);
    if (!progress_) progress_.emplace(label_, counts_items ? now.total : kParts, done);
    std::string words;
    if (counts_items) {
        words = fmt::format("{} {:.3f}", score_, now.mean);
    } else if (now.done < now.total) {
        words = fmt::format("item {} of {}: {}", now.done + 1, now.total, now.next);
    }
    progress_->update(done, words);
}

std::vector<Engine*> pointers_to(std::vector<Engine>& engines) {
    std::vector<Engine*> out;
    for (Engine& engine : engines) out.push_back(&engine);
    return out;
}

void print_cache(const CacheUsage& cache, const char* when) {
    fmt::print("cache        {} {}\n", describe(cache), when);
}

}  // namespace lowkey::cli
