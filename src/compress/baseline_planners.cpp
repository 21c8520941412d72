#include "compress/baseline_planners.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "compress/token_plan.h"

namespace lowkey {
namespace {

constexpr int64_t kDefaultTokens = 1024;
constexpr int64_t kDefaultObserve = 32;

/// --keep excludes the flags that say the same in tokens.
void refuse_with_keep(const PlanRequest& request, const std::vector<std::string>& flags) {
    if (request.settings.count("keep") == 0) return;
    for (const std::string& flag : flags) {
        if (request.settings.count(flag) > 0)
            throw UsageError("--keep and --" + flag + " say the same", "--" + flag,
                             "give one of them");
    }
}

Settings selection_settings(const PlanRequest& request) {
    refuse_with_keep(request, {"capacity"});
    Settings settings;
    const int64_t observe =
        ranged_integer(request, "observe", kDefaultObserve, 1, request.model->max_context());
    settings["observe"] = observe;
    settings["kernel"] = ranged_integer(request, "kernel", 5, 1, 1 << 12);
    set_token_count(request, "capacity", "keep", "capacity", observe + 1, kDefaultTokens, settings);
    return settings;
}

}  // namespace

PlanFile make_full_plan(const PlanRequest& request) {
    check_settings(request.settings, {}, "full");
    // Chunks that see the cache see everything, and take less memory than an exact prompt.
    PlanRequest whole = request;
    whole.prefill_attention = request.prefill_attention.value_or(PrefillAttention::kCompressed);
    return make_token_plan(whole, "full", [](int64_t, int64_t) { return TokenPolicySpec{}; });
}

PlanFile make_streaming_plan(const PlanRequest& request) {
    check_settings(request.settings, {"sink", "window", "keep", "reindex"}, "streaming");
    refuse_with_keep(request, {"window"});
    Settings settings{{"sinks", ranged_integer(request, "sink", 4, 0,
                                               std::min(kMaxSinks, request.model->max_context()))}};
    set_token_count(request, "window", "keep", "window", 1, kDefaultTokens, settings);
    if (bool_setting(request.settings, "reindex", "--reindex").value_or(false))
        settings["reindex"] = true;
    return make_token_plan(request, "streaming", [&](int64_t, int64_t) {
        return TokenPolicySpec{"window", settings};
    });
}

PlanFile make_h2o_plan(const PlanRequest& request) {
    check_settings(request.settings, {"recent", "heavy", "keep"}, "h2o");
    refuse_with_keep(request, {"recent", "heavy"});
    Settings settings;
    if (request.settings.count("keep") > 0) {
        const double half = share_setting(request, "keep", 0) / 2;
        settings["recent_share"] = half;
        settings["heavy_share"] = half;
    } else {
        const int64_t most = request.model->max_context();
        const int64_t half = std::min(kDefaultTokens, most) / 2;
        settings["recent"] = ranged_integer(request, "recent", half, 1, most);
        settings["heavy"] = ranged_integer(request, "heavy", half, 0, most);
    }
    return make_token_plan(request, "h2o", [&](int64_t, int64_t) {
        return TokenPolicySpec{"heavy_hitters", settings};
    });
}

PlanFile make_snapkv_plan(const PlanRequest& request) {
    check_settings(request.settings, {"capacity", "keep", "observe", "kernel"}, "snapkv");
    const Settings settings = selection_settings(request);
    return make_token_plan(request, "snapkv", [&](int64_t, int64_t) {
        return TokenPolicySpec{"prompt_selection", settings};
    });
}

PlanFile make_pyramidkv_plan(const PlanRequest& request) {
    check_settings(request.settings, {"capacity", "keep", "observe", "kernel", "beta"},
                   "pyramidkv");
    const Settings average = selection_settings(request);
    const double beta = number_setting(request.settings, "beta", "--beta").value_or(20);
    if (!(beta >= 1)) throw UsageError("out of range", "--beta", "give at least 1");
    const int64_t layers = request.model->config().num_layers;
    const auto observe = std::get<int64_t>(average.at("observe"));
    return make_token_plan(request, "pyramidkv", [&](int64_t layer, int64_t) {
        // From 2 - 1/β of the average down to 1/β of it.
        const double place =
            layers > 1 ? static_cast<double>(layer) / static_cast<double>(layers - 1) : 0.5;
        const double factor = 2 - 1 / beta - place * (2 - 2 / beta);
        Settings settings = average;
        if (const auto capacity = average.find("capacity"); capacity != average.end()) {
            const auto beyond = static_cast<double>(std::get<int64_t>(capacity->second) - observe);
            settings["capacity"] = observe + std::max<int64_t>(1, std::llround(beyond * factor));
        }
        if (const auto share = average.find("capacity_share"); share != average.end()) {
            // A layer cannot keep more than all: what the first layers cannot take, the last get.
            const double mean = std::get<double>(share->second);
            const double first = std::min(1.0, mean * (2 - 1 / beta));
            settings["capacity_share"] = first + place * 2 * (mean - first);
        }
        return TokenPolicySpec{"prompt_selection", settings};
    });
}

}  // namespace lowkey
