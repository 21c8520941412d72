#include <fmt/format.h>

#include <cstdio>
#include <optional>

#include "base/atomic_file.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "compress/planner.h"

namespace lowkey::cli {
namespace {

/// Flags that become settings of the planner, by name; those not given are left out, so that a
/// planner knows.
struct SettingFlags {
    std::vector<std::pair<std::string, std::shared_ptr<std::optional<double>>>> numbers;
    std::vector<std::pair<std::string, std::shared_ptr<std::optional<int64_t>>>> integers;
    std::vector<std::pair<std::string, std::shared_ptr<std::optional<std::string>>>> strings;

    void number(CLI::App& app, const std::string& name, const std::string& what) {
        numbers.emplace_back(name, std::make_shared<std::optional<double>>());
        app.add_option("--" + name, *numbers.back().second, what);
    }
    void integer(CLI::App& app, const std::string& name, const std::string& what) {
        integers.emplace_back(name, std::make_shared<std::optional<int64_t>>());
        app.add_option("--" + name, *integers.back().second, what);
    }
    void string(CLI::App& app, const std::string& name, const std::string& what) {
        strings.emplace_back(name, std::make_shared<std::optional<std::string>>());
        app.add_option("--" + name, *strings.back().second, what);
    }
    [[nodiscard]] Settings given() const {
        Settings settings;
        for (const auto& [name, value] : numbers) {
            if (*value) settings[name] = **value;
        }
        for (const auto& [name, value] : integers) {
            if (*value) settings[name] = **value;
        }
        for (const auto& [name, value] : strings) {
            if (*value) settings[name] = **value;
        }
        return settings;
    }
};

struct Options : CommonOptions {
    std::string method;
    std::string stats;
    std::string prefill_attention;
    std::string output;
    SettingFlags settings;
};

void run(const Options& options) {
    check_writable(options.output);
    const Planner& planner = find_planner(options.method);
    PlanRequest request;
    request.model = load_model(options);
    request.settings = options.settings.given();
    if (options.prefill_attention == "exact") request.prefill_attention = PrefillAttention::kExact;
    if (options.prefill_attention == "compressed")
        request.prefill_attention = PrefillAttention::kCompressed;
    CalibrationStats stats;
    if (!options.stats.empty()) {
        stats = read_stats(options.stats, *request.model);
        request.stats = &stats;
    }
    const PlanFile file = planner.make(request);
    write_plan(options.output, file);
    if (options.json) {
        nlohmann::json result = file.measured;
        result["method"] = file.method;
        result["settings"] = file.settings;
        print_json(result);
    } else {
        std::fprintf(stderr, "wrote %s; `lowkey inspect %s` shows it\n", options.output.c_str(),
                     options.output.c_str());
    }
}

std::string method_help() {
    std::string help = "how to choose the cache:";
    for (const Planner& planner : planners())
        help += fmt::format(" {}: {};", planner.name, planner.what);
    help.pop_back();
    return help;
}

}  // namespace

void add_plan(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* app = program.add_subcommand("plan", "Make a cache plan for a model.");
    app->footer(
        "Example: lowkey plan MODEL --method eigen --stats model.stats --keep 0.6 -o eigen.plan");
    add_model(*app, *options);
    add_run_flags(*app, *options);
    app->add_option("--method", options->method, method_help())->required();
    app->add_option("--stats", options->stats, "statistics of `lowkey calibrate`")
        ->type_name("STATS");
    app->add_option(
           "--prefill-attention", options->prefill_attention,
           "prompts attend to their own uncompressed tokens, or to what the cache will hold")
        ->check(CLI::IsMember({"exact", "compressed"}));
    app->add_option("-o,--output", options->output, "plan file")->required()->type_name("PLAN");
    SettingFlags& s = options->settings;
    s.number(*app, "keep", "share of the uncompressed cache's bytes, above 0 and up to 1");
    s.number(*app, "error-budget",
             "largest relative error of a layer's output (layer-wise search)");
    s.number(*app, "energy-threshold", "kept share of energy, the same in every head");
    s.string(*app, "allocation",
             "how --keep chooses ranks: loss (default), error, energy or uniform");
    s.string(*app, "energy", "threshold over squared (default) or singular values");
    s.string(*app, "ranks", "per-head (default) or per-layer");
    s.string(*app, "key-basis",
             "keys, keys-shared, joint, joint-rotated, product, product-rotated, keys-weighted or "
             "keys-attended "
             "(default)");
    s.string(*app, "value-basis", "values, values-wo (default) or values-out");
    s.number(*app, "step", "step of the layer-wise search (default 0.02)");
    s.integer(*app, "exact-sinks", "first tokens kept uncompressed (default 4)");
    s.integer(*app, "search-tokens", "calibration tokens on which errors and losses are measured");
    s.string(*app, "preset", "paper: Eigen Attention to the letter");
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
