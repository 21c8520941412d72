#pragma once

#include "compress/planner.h"

namespace lowkey {

/// "eigen": low-rank keys and values from calibration statistics. Source: Eigen Attention (arXiv
/// 2408.05646). One of keep, error-budget and energy-threshold must be given. The preset "paper"
/// takes other defaults: keys (joint without rotary positions), values, error, per-layer, no exact
/// sinks. What it measures is kept in request.journal until the plan is made.
PlanFile make_eigen_plan(const PlanRequest& request);
const std::vector<SettingInfo>& eigen_settings();

}  // namespace lowkey
