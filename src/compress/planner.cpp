#include "compress/planner.h"

#include <algorithm>

#include "base/error.h"
#include "compress/baseline_planners.h"
#include "compress/eigen_planner.h"
#include "compress/razor_planner.h"

namespace lowkey {

const std::vector<Planner>& planners() {
    // A new method is one file and one line here.
    static const std::vector<Planner> table = {
        {"eigen", "low-rank keys and values (Eigen Attention, arXiv 2408.05646)", make_eigen_plan},
        {"razor", "remote tokens for retrieval heads only (RazorAttention, arXiv 2407.15891)",
         make_razor_plan},
        {"full", "every token as it is, to compare with", make_full_plan},
        {"streaming", "first tokens and a window (StreamingLLM, arXiv 2309.17453)",
         make_streaming_plan},
        {"h2o", "recent tokens and heavy hitters (H2O, arXiv 2306.14048)", make_h2o_plan},
        {"snapkv", "what a prompt's last tokens attend to (SnapKV, arXiv 2404.14469)",
         make_snapkv_plan},
        {"pyramidkv", "the same, less in each layer (PyramidKV, arXiv 2406.02069)",
         make_pyramidkv_plan},
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

}  // namespace lowkey
