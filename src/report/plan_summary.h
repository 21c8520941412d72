#pragma once

#include <string>

#include "compress/plan_command.h"
#include "compress/plan_file.h"
#include "report/comparison_report.h"

namespace lowkey {

/// What a plan file says of its cache: ranks and errors by layer, scores of heads.
ComparedCache summarize_plan(const std::string& name, const PlanFile& file);

}  // namespace lowkey
