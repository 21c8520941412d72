#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "compress/planner.h"

namespace lowkey {

/// The policy of one KV head; "all" leaves it whole.
using PolicyChoice = std::function<TokenPolicySpec(int64_t layer, int64_t kv_head)>;

/// A plan that keeps vectors as they are and chooses tokens, for a method's planner. Prompts attend
/// exactly unless the request says otherwise. Layers in which the model itself has a sliding window
/// keep all of it: the method's choice is not asked for them. Throws what CacheLayout throws for
/// policies that do not fit the model. finish_plan() is left to the caller.
PlanFile make_token_plan(const PlanRequest& request, const PolicyChoice& choose);

/// A policy's settings from --`flag` and --`share_flag`, as `name` and `name`_share; `fallback`
/// when neither was given. Throws UsageError for numbers that are too small, or more than the
/// model's context.
void set_token_count(PlannerSettings& given, const Model& model, const std::string& flag,
                     const std::string& share_flag, const std::string& name, int64_t least,
                     int64_t fallback, Settings& policy);

}  // namespace lowkey
