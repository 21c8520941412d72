#include "cli/item_run.h"

#include <fmt/format.h>

#include <utility>

#include "base/hash.h"
#include "base/mapped_file.h"
#include "kernels/kernels.h"

namespace lowkey::cli {

void add_resume_flag(CLI::App& app, std::string& path) {
    app.add_option("--resume", path,
                   "keep finished items here; with the same settings, go on after them")
        ->type_name("FILE.jsonl");
}

nlohmann::json evaluation_settings(const char* evaluation, const CommonOptions& options,
                                   const Engine& engine) {
    std::vector<std::string> plans;
    if (!options.plan.empty()) plans.push_back(options.plan);
    return evaluation_settings(evaluation, options, plans, engine);
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
            {"dtype", options.dtype},
            {"isa", kernels().isa},
            {"chunk", options.prefill_chunk},
            {"max_context", engine.model().max_context()}};
}

ItemRun::ItemRun(std::string label, std::string score, const std::string& resume,
                 const nlohmann::json& settings)
    : label_(std::move(label)), score_(std::move(score)) {
    if (!resume.empty()) journal_ = std::make_unique<Journal>(resume, settings);
    options_.journal = journal_.get();
    options_.on_progress = [this](int64_t done, int64_t total, double mean) {
        if (!progress_) progress_.emplace(label_, total, done);
        progress_->update(done, fmt::format("{} {:.3f}", score_, mean));
    };
    options_.should_stop = Interrupt::pressed;
}

void print_cache(const CacheUsage& cache, const char* when) {
    fmt::print("cache        {} {}\n", describe(cache), when);
}

}  // namespace lowkey::cli
