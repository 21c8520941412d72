#pragma once

#include "compress/planner.h"

namespace lowkey {

/// "eigen": low-rank keys and values from calibration statistics. Source: Eigen Attention (arXiv
/// 2408.05646). Settings (one of the first three):
///   keep              share of the uncompressed cache's bytes, counted in pages; ranks by `allocation`
///   error-budget      largest layer-output error; ranks by layer-wise search
///   energy-threshold  kept share of energy, the same everywhere
///   allocation        with keep: "loss" (default: by measured marginal loss over all heads), "error"
///                     (layer-wise search whose budget meets keep), "energy" (one threshold that meets
///                     keep), "uniform" (one rank)
///   energy            "squared" (default) or "singular" values
///   ranks             "per-head" (default) or "per-layer" (the maximum over the layer's heads)
///   key-basis, value-basis   names of bases.h
///   step              of the layer-wise search (default 0.02)
///   exact-sinks       first tokens kept dense and left out of the Grams (default 4)
///   search-tokens     calibration tokens on which errors and losses are measured (default 4096 and 1024)
///   preset            "paper": keys (joint without rotary positions), values, error, per-layer, no exact
///                     sinks
PlanFile make_eigen_plan(const PlanRequest& request);

}  // namespace lowkey
