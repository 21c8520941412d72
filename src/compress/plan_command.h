#pragma once

#include <string>

#include "compress/plan_file.h"

namespace lowkey {

/// The command that makes such a plan again, from its settings: "lowkey plan MODEL --method eigen
/// --keep 0.6 --stats model.stats -o eigen.plan". Words that a shell would not take as they are
/// stand in quotes. With the same program, files and number of threads it gives the same file.
std::string plan_command(const std::string& model, const std::string& plan, const PlanFile& file);

/// A word for a shell: as it is, or in single quotes.
std::string shell_word(const std::string& word);

/// A file's name as JSON can hold it: with stand-ins for what is not UTF-8.
std::string recordable_name(const std::string& name);

}  // namespace lowkey
