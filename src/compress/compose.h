#pragma once

#include <string>
#include <vector>

#include "compress/plan_file.h"

namespace lowkey {

/// The product of plans for one model: each head takes its token policy from the plan that has one
/// for it, and each of its codecs from the plan that has one; first tokens stay exact where any
/// plan says so. What was measured on the parts is not true of the whole: it is left out. Prompts
/// attend as the first plan with a token policy says, else as the first. Throws UsageError when two
/// plans choose the same thing for a head, or are for different models.
PlanFile compose_plans(const std::vector<PlanFile>& parts);

}  // namespace lowkey
