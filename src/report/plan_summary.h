#pragma once

#include <string>

#include "compress/plan_file.h"
#include "report/comparison_report.h"

namespace lowkey {

/// What a plan file says of its cache: ranks and errors by layer, scores of heads.
ComparedCache summarize_plan(const std::string& name, const PlanFile& file);

/// The command that makes such a plan, as far as the file tells: "lowkey plan MODEL --method eigen
/// --keep 0.6 --stats STATS -o eigen.plan". Words that a shell would not take as they are stand in
/// quotes.
std::string plan_command(const std::string& model, const std::string& plan, const PlanFile& file);

/// A word for a shell: as it is, or in single quotes.
std::string shell_word(const std::string& word);

}  // namespace lowkey
