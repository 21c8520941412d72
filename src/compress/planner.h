#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compress/calibration.h"
#include "compress/plan_file.h"
#include "compress/planner_settings.h"
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
    /// The files of `stats` and `ids` as they were named, for the plan to be made again.
    std::string stats_name = {};
    std::string ids_name = {};
    /// Where long measurements are kept until the plan is made, to go on from; empty: nowhere.
    std::string journal = {};
};

/// A method: makes the plan of a model. The rest of lowkey knows plans, not methods.
struct Planner {
    const char* name;
    const char* what;  ///< one line, with its source
    /// Throws UsageError for settings that are missing, contradictory or unknown to the method, and
    /// Error for numbers that are not finite.
    PlanFile (*make)(const PlanRequest& request);
    const std::vector<SettingInfo>& (*settings)();
};

const std::vector<Planner>& planners();
/// Throws UsageError naming the known ones.
const Planner& find_planner(const std::string& name);

/// Writes down in the plan what makes it again: the settings, as flags of `lowkey plan`, with the
/// files and options of the run; and what was measured on it, which is last: the plan does not
/// change after this.
void finish_plan(PlanFile& file, const PlanRequest& request, const PlannerSettings& settings,
                 nlohmann::json measured);
/// What a run's options add to the settings of its plan: those that are not the defaults.
void record_run(nlohmann::json& settings, const Model& model,
                const std::optional<PrefillAttention>& prefill_attention);

}  // namespace lowkey
