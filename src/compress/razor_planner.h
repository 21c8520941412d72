#pragma once

#include "compress/planner.h"

namespace lowkey {

/// RazorAttention (arXiv 2407.15891): retrieval heads keep all tokens, the others sinks, a window
/// and a compensation token. Settings: induction and echo (shares of KV heads kept by each score),
/// sink, window, window-fraction, random-tokens, repeats, seed, retrieval-heads, random-heads,
/// no-compensation. Without retrieval heads or token ids given, ALiBi models are planned by how far
/// each head can see: alibi-bound (scaled, paper, rigorous), epsilon. Throws UsageError.
PlanFile make_razor_plan(const PlanRequest& request);
const std::vector<SettingInfo>& razor_settings();

}  // namespace lowkey
