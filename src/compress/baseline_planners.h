#pragma once

#include "compress/planner.h"

namespace lowkey {

// The token-dropping methods that users compare with, every head alike. Each keeps a number of
// tokens or (--keep) a share of the prompt. They throw UsageError.

/// Every token as it is: what the others are compared with. No settings.
PlanFile make_full_plan(const PlanRequest& request);
/// StreamingLLM (arXiv 2309.17453): sink, window or keep, reindex.
PlanFile make_streaming_plan(const PlanRequest& request);
/// H2O (arXiv 2306.14048): recent and heavy, or keep, half of it for each.
PlanFile make_h2o_plan(const PlanRequest& request);
/// SnapKV (arXiv 2404.14469): capacity or keep; observe, kernel.
PlanFile make_snapkv_plan(const PlanRequest& request);
/// PyramidKV (arXiv 2406.02069): the same, on average over layers; from the first to the last layer
/// the capacity beyond the observed tokens falls evenly to 1 / beta of the average.
PlanFile make_pyramidkv_plan(const PlanRequest& request);

/// What each of them can be told.
const std::vector<SettingInfo>& full_settings();
const std::vector<SettingInfo>& streaming_settings();
const std::vector<SettingInfo>& h2o_settings();
const std::vector<SettingInfo>& snapkv_settings();
const std::vector<SettingInfo>& pyramidkv_settings();

}  // namespace lowkey
