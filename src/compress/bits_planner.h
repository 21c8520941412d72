#pragma once

#include "compress/planner.h"

namespace lowkey {

/// `--method eigen --bits`: all heads alike in as many bits of an original number, scales and all,
/// in coordinates along the eigenvectors that matter (coded_fit.h). Keys' errors are weighted by
/// the attended queries, values' by the output projection. Throws as make_eigen_plan().
PlanFile make_bits_plan(const PlanRequest& request, PlannerSettings& given);

}  // namespace lowkey
