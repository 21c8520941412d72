#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "kvcache/cache_layout.h"
#include "kvcache/plan.h"
#include "model/model.h"

namespace lowkey {

/// A plan with what is known about how it was made. The cache reads `plan` alone; the rest is for
/// people and reports.
struct PlanFile {
    CachePlan plan;
    std::string method;                                  ///< "eigen", …
    std::string fingerprint;                             ///< of the model that it was made for
    int64_t head_dim = 0;                                ///< of that model
    nlohmann::json settings = nlohmann::json::object();  ///< the planner's settings, to repeat it
    /// Ranks, errors, kept share, …, of exactly the cache whose hash `measured_on` is; empty when
    /// nothing was measured. See record_measured().
    nlohmann::json measured = nlohmann::json::object();
    std::string measured_on = {};
    std::string path = {};    ///< that it was read from; empty for others
    std::string notice = {};  ///< what reading it left out, for people; empty when nothing
};

/// A hash of what the plan's cache does: the model, every head, all tensors; not of how the plan
/// was made or what was measured.
std::string cache_hash(const PlanFile& file);
/// Says what was measured on the plan as it is now. Throws Error when a number is not finite.
void record_measured(PlanFile& file, nlohmann::json measured);
/// After a change of the plan: what was measured on another is no longer true.
void forget_measured(PlanFile& file);

/// Writes a safetensors file: bases as tensors, all else as JSON in the metadata ("lowkey.plan").
/// Measurements of another cache than the plan's are left out. Throws FileError, and UsageError for
/// text that is not UTF-8.
void write_plan(const std::string& path, const PlanFile& file);
/// Reads one. Whatever is not known, at any level, is refused by name, and so is what no model
/// could run: the plan is understood as a whole or not at all. Measurements that were made on
/// another cache than the plan's are left out, which `notice` says. Throws FileError naming the
/// file and the key.
PlanFile read_plan(const std::string& path);
/// The plan as JSON without tensors: what `inspect --json` prints.
nlohmann::json plan_to_json(const PlanFile& file);

/// The plan's cache in bf16, made for a model of which only head_dim is known: without sliding
/// windows of its own.
CacheLayout plan_layout(const PlanFile& file);
/// Bytes of pages that a sequence of `num_tokens` takes under the plan, and uncompressed, with a
/// cache in bf16.
struct PlanBytes {
    int64_t allocated = 0;
    int64_t full = 0;
};
PlanBytes plan_bytes(const PlanFile& file, int64_t num_tokens);

/// Throws UsageError when the plan was made for another model than this.
void check_plan_fits(const PlanFile& file, const std::string& path, const Model& model);

}  // namespace lowkey
