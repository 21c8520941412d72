#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compress/calibration.h"
#include "compress/plan_file.h"
#include "kvcache/plan.h"
#include "model/model.h"

namespace lowkey {

/// What a planner is given. Settings are named as the command line's flags ("key-basis" is
/// --key-basis).
struct PlanRequest {
    std::shared_ptr<const Model> model;
    const CalibrationStats* stats = nullptr;  ///< null when none were given
    Settings settings;
    std::optional<PrefillAttention> prefill_attention = {};  ///< instead of the method's own
    std::vector<int32_t> ids = {};  ///< tokens instead of random ones; empty: none were given
};

/// A method: makes the plan of a model. The rest of lowkey knows plans, not methods.
struct Planner {
    const char* name;
    const char* what;  ///< one line, with its source
    /// Throws UsageError for settings that are missing, contradictory or unknown to the method.
    PlanFile (*make)(const PlanRequest& request);
};

const std::vector<Planner>& planners();
/// Throws UsageError naming the known ones.
const Planner& find_planner(const std::string& name);

/// Throws UsageError when a setting is not among those that the method knows.
void check_settings(const Settings& settings, const std::vector<std::string>& known,
                    const std::string& method);

}  // namespace lowkey
