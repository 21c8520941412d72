#include "compress/baseline_planners.h"

#include <algorithm>
#include <cmath>

#include "compress/token_plan.h"

namespace lowkey {
namespace {

constexpr int64_t kDefaultTokens = 1024;
constexpr int64_t kDefaultObserve = 32;

SettingInfo keep_of_prompt() {
    return {.name = "keep",
            .type = SettingInfo::Type::kNumber,
            .what = "share of the prompt's tokens that every head keeps (of tokens, not of bytes)",
            .high = 1};
}
SettingInfo most_tokens(const char* name, const char* what) {
    return {.name = name, .type = SettingInfo::Type::kInteger, .what = what};
}
SettingInfo sinks() {
    return {.name = "sink",
            .type = SettingInfo::Type::kInteger,
            .what = "first tokens that every head keeps",
            .fallback = int64_t{4},
            .high = kMaxSinks};
}

std::vector<SettingInfo> selection_table() {
    return {keep_of_prompt(),
            most_tokens("capacity", "tokens of the prompt that every head keeps (1024)"),
            {.name = "observe",
             .type = SettingInfo::Type::kInteger,
             .what = "last tokens of the prompt that choose them (32)",
             .low = 1},
            {.name = "kernel",
             .type = SettingInfo::Type::kInteger,
             .what = "neighbours over which their attention is averaged",
             .fallback = int64_t{5},
             .low = 1,
             .high = 1 << 12}};
}

Settings selection_settings(PlannerSettings& given, const Model& model) {
    given.exclude("keep", "capacity");
    Settings settings;
    const int64_t observe =
        given.integer_within("observe", kDefaultObserve, 1, model.max_context());
    settings["observe"] = observe;
    settings["kernel"] = given.integer("kernel");
    set_token_count(given, model, "capacity", "keep", "capacity", observe + 1, kDefaultTokens,
                    settings);
    return settings;
}

/// The same policy for every head.
PlanFile plan_alike(const PlanRequest& request, const PlannerSettings& given,
                    const TokenPolicySpec& policy) {
    PlanFile file = make_token_plan(request, [&](int64_t, int64_t) { return policy; });
    finish_plan(file, request, given, nlohmann::json::object());
    return file;
}

}  // namespace

const std::vector<SettingInfo>& full_settings() {
    static const std::vector<SettingInfo> table;
    return table;
}

PlanFile make_full_plan(const PlanRequest& request) {
    const PlannerSettings given("full", full_settings(), request.settings);
    // Chunks that see the cache see everything, and take less memory than an exact prompt.
    PlanRequest whole = request;
    whole.prefill_attention = request.prefill_attention.value_or(PrefillAttention::kCompressed);
    return plan_alike(whole, given, {});
}

const std::vector<SettingInfo>& streaming_settings() {
    static const std::vector<SettingInfo> table = {
        keep_of_prompt(),
        sinks(),
        most_tokens("window", "recent tokens that every head keeps (1024)"),
        {.name = "reindex",
         .type = SettingInfo::Type::kFlag,
         .what = "let sinks stand right before the window, however far away they are"}};
    return table;
}

PlanFile make_streaming_plan(const PlanRequest& request) {
    PlannerSettings given("streaming", streaming_settings(), request.settings);
    given.exclude("keep", "window");
    Settings settings{
        {"sinks",
         given.integer_within("sink", 4, 0, std::min(kMaxSinks, request.model->max_context()))}};
    set_token_count(given, *request.model, "window", "keep", "window", 1, kDefaultTokens, settings);
    if (given.flag("reindex")) settings["reindex"] = true;
    return plan_alike(request, given, {"window", settings});
}

const std::vector<SettingInfo>& h2o_settings() {
    static const std::vector<SettingInfo> table = {
        keep_of_prompt(), most_tokens("recent", "newest tokens that every head keeps (512)"),
        most_tokens("heavy", "other tokens kept for the attention they got (512)")};
    return table;
}

PlanFile make_h2o_plan(const PlanRequest& request) {
    PlannerSettings given("h2o", h2o_settings(), request.settings);
    given.exclude("keep", "recent");
    given.exclude("keep", "heavy");
    Settings settings;
    if (given.has("keep")) {
        const double half = given.number("keep") / 2;
        settings["recent_share"] = half;
        settings["heavy_share"] = half;
    } else {
        const int64_t most = request.model->max_context();
        const int64_t half = std::min(kDefaultTokens, most) / 2;
        settings["recent"] = given.integer_within("recent", half, 1, most);
        settings["heavy"] = given.integer_within("heavy", half, 0, most);
    }
    return plan_alike(request, given, {"heavy_hitters", settings});
}

const std::vector<SettingInfo>& snapkv_settings() {
    static const std::vector<SettingInfo> table = selection_table();
    return table;
}

PlanFile make_snapkv_plan(const PlanRequest& request) {
    PlannerSettings given("snapkv", snapkv_settings(), request.settings);
    return plan_alike(request, given,
                      {"prompt_selection", selection_settings(given, *request.model)});
}

const std::vector<SettingInfo>& pyramidkv_settings() {
    static const std::vector<SettingInfo> table = [] {
        std::vector<SettingInfo> rows = selection_table();
        rows.push_back({.name = "beta",
                        .type = SettingInfo::Type::kNumber,
                        .what = "the last layer keeps 1 / beta of the average",
                        .fallback = 20.0,
                        .low = 1,
                        .high = 1e9});
        return rows;
    }();
    return table;
}

PlanFile make_pyramidkv_plan(const PlanRequest& request) {
    PlannerSettings given("pyramidkv", pyramidkv_settings(), request.settings);
    const Settings average = selection_settings(given, *request.model);
    const double beta = given.number("beta");
    const int64_t layers = request.model->config().num_layers;
    const auto observe = std::get<int64_t>(average.at("observe"));
    PlanFile file = make_token_plan(request, [&](int64_t layer, int64_t) {
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
    finish_plan(file, request, given, nlohmann::json::object());
    return file;
}

}  // namespace lowkey
