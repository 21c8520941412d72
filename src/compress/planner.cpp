#include "compress/planner.h"

#include <algorithm>

#include "base/error.h"
#include "compress/eigen_planner.h"

namespace lowkey {

const std::vector<Planner>& planners() {
    // A new method is one file and one line here.
    static const std::vector<Planner> table = {
        {"eigen", "low-rank keys and values (Eigen Attention, arXiv 2408.05646)", make_eigen_plan},
    };
    return table;
}

const Planner& find_planner(const std::string& name) {
    std::string known;
    for (const Planner& planner : planners()) {
        if (name == planner.name) return planner;
        known += (known.empty() ? "" : ", ") + std::string(planner.name);
    }
    throw UsageError("unknown method '" + name + "'", "--method", "known are " + known);
}

void check_settings(const Settings& settings, const std::vector<std::string>& known,
                    const std::string& method) {
    for (const auto& [name, value] : settings) {
        if (std::find(known.begin(), known.end(), name) != known.end()) continue;
        throw UsageError("--" + name + " is not a setting of this method", "--method " + method,
                         "leave it out");
    }
}

std::optional<double> number_setting(const Settings& settings, const std::string& name) {
    const auto found = settings.find(name);
    if (found == settings.end()) return std::nullopt;
    if (const auto* whole = std::get_if<int64_t>(&found->second))
        return static_cast<double>(*whole);
    if (const auto* number = std::get_if<double>(&found->second)) return *number;
    throw UsageError("not a number", "--" + name, "give a number");
}

}  // namespace lowkey
