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
    nlohmann::json measured = nlohmann::json::object();  ///< ranks, errors, kept share, …
};

/// Writes a safetensors file: bases as tensors, all else as JSON in the metadata ("lowkey.plan").
/// Throws FileError.
void write_plan(const std::string& path, const PlanFile& file);
/// Reads one; every size and type is checked. Throws FileError naming the file and the key.
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
