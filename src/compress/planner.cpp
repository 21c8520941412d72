#include "compress/planner.h"

#include <utility>

#include "base/error.h"
#include "compress/baseline_planners.h"
#include "compress/eigen_planner.h"
#include "compress/plan_command.h"
#include "compress/razor_planner.h"

namespace lowkey {

const std::vector<Planner>& planners() {
    // A new method is one file and one line here.
    static const std::vector<Planner> table = {
        {"eigen", "low-rank keys and values (Eigen Attention, arXiv 2408.05646)", make_eigen_plan,
         eigen_settings},
        {"razor", "remote tokens for retrieval heads only (RazorAttention, arXiv 2407.15891)",
         make_razor_plan, razor_settings},
        {"full", "every token as it is, to compare with", make_full_plan, full_settings},
        {"streaming", "first tokens and a window (StreamingLLM, arXiv 2309.17453)",
         make_streaming_plan, streaming_settings},
        {"h2o", "recent tokens and heavy hitters (H2O, arXiv 2306.14048)", make_h2o_plan,
         h2o_settings},
        {"snapkv", "what a prompt's last tokens attend to (SnapKV, arXiv 2404.14469)",
         make_snapkv_plan, snapkv_settings},
        {"pyramidkv", "the same, less in each layer (PyramidKV, arXiv 2406.02069)",
         make_pyramidkv_plan, pyramidkv_settings},
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

void record_run(nlohmann::json& settings, const Model& model,
                const std::optional<PrefillAttention>& prefill_attention) {
    const ModelOptions& options = model.options();
    const ModelOptions defaults;
    if (options.dtype != defaults.dtype) settings["dtype"] = std::string(dtype_name(options.dtype));
    if (options.max_context != defaults.max_context) settings["max-context"] = options.max_context;
    if (prefill_attention) {
        const bool exact = *prefill_attention == PrefillAttention::kExact;
        settings["prefill-attention"] = exact ? "exact" : "compressed";
    }
}

void finish_plan(PlanFile& file, const PlanRequest& request, const PlannerSettings& settings,
                 nlohmann::json measured) {
    file.method = settings.method();
    file.settings = nlohmann::json::object();
    for (const auto& [name, value] : settings.all())
        std::visit([&, &key = name](const auto& v) { file.settings[key] = v; }, value);
    if (request.stats != nullptr) {
        file.settings["calibration"] = request.stats->settings;
        if (!request.stats_name.empty())
            file.settings["stats"] = recordable_name(request.stats_name);
    }
    if (!request.ids_name.empty()) file.settings["ids"] = recordable_name(request.ids_name);
    record_run(file.settings, *request.model, request.prefill_attention);
    record_measured(file, std::move(measured));
}

}  // namespace lowkey
