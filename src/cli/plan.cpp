#include <fmt/format.h>

#include <cstdio>
#include <optional>

#include "base/error.h"
#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "compress/compose.h"
#include "compress/planner.h"

namespace lowkey::cli {
namespace {

/// Flags that become settings of the planner, by name; those not given are left out, so that a
/// planner knows.
struct SettingFlags {
    std::vector<std::pair<std::string, std::shared_ptr<std::optional<double>>>> numbers;
    std::vector<std::pair<std::string, std::shared_ptr<std::optional<int64_t>>>> integers;
    std::vector<std::pair<std::string, std::shared_ptr<std::optional<std::string>>>> strings;
    std::vector<std::pair<std::string, std::shared_ptr<bool>>> flags;

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
    void flag(CLI::App& app, const std::string& name, const std::string& what) {
        flags.emplace_back(name, std::make_shared<bool>(false));
        app.add_flag("--" + name, *flags.back().second, what);
    }
    [[nodiscard]] Settings given() const {
        Settings settings;
        for (const auto& [name, value] : flags) {
            if (*value) settings[name] = true;
        }
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
    std::vector<std::string> compose;
    std::string stats;
    std::string ids;
    std::string prefill_attention;
    std::string output;
    SettingFlags settings;
};

std::optional<PrefillAttention> asked_mode(const Options& options) {
    if (options.prefill_attention == "exact") return PrefillAttention::kExact;
    if (options.prefill_attention == "compressed") return PrefillAttention::kCompressed;
    return std::nullopt;
}

PlanFile plan_by_method(const Options& options) {
    const Planner& planner = find_planner(options.method);
    PlanRequest request;
    request.model = load_model(options);
    request.settings = options.settings.given();
    request.prefill_attention = asked_mode(options);
    CalibrationStats stats;
    if (!options.stats.empty()) {
        stats = read_stats(options.stats, *request.model);
        request.stats = &stats;
    }
    if (!options.ids.empty()) {
        const auto sequences = read_ids(options.ids);
        if (sequences.size() != 1 || sequences.front().empty()) {
            throw FileError("expected one sequence of at least one token", options.ids,
                            "write input_ids [K]");
        }
        request.ids = sequences.front();
    }
    return planner.make(request);
}

PlanFile plan_by_composing(const Options& options) {
    const Settings given = options.settings.given();
    if (!given.empty()) {
        throw UsageError("--" + given.begin()->first + " is a setting of a method", "--compose",
                         "give it when making the parts");
    }
    const auto model = load_model(options);
    std::vector<PlanFile> parts;
    for (const std::string& path : options.compose) {
        parts.push_back(read_plan(path));
        check_plan_fits(parts.back(), path, *model);
    }
    PlanFile file = compose_plans(parts);
    if (const auto mode = asked_mode(options); mode) file.plan.prefill_attention = *mode;
    const CacheLayout checked(file.plan, model->cache_shape());
    return file;
}

/// Says so when a window saves nothing because it is smaller than the page that holds it.
void warn_of_small_windows(const PlanFile& file) {
    const CacheLayout layout = plan_layout(file);
    for (int64_t layer = 0; layer < layout.num_layers(); ++layer) {
        for (int64_t head = 0; head < layout.num_kv_heads(); ++head) {
            const HeadLayout& own = layout.head(layer, head);
            const int64_t window = own.window(0);
            const int64_t page = own.page_tiles * kTileTokens;
            if (window == 0 || window >= page) continue;
            std::fprintf(stderr,
                         "lowkey: note: a window of %lld tokens is smaller than a page of %lld; it "
                         "takes a page or two all the same\n",
                         static_cast<long long>(window), static_cast<long long>(page));
            return;
        }
    }
}

void run(Options& options) {
    find_model(options, options.compose, 2);
    std::vector<std::string> reads = options.compose;
    reads.insert(reads.end(), {options.stats, options.ids});
    check_files(options, {.reads = reads, .writes = {options.output}});
    if (options.method.empty() == options.compose.empty()) {
        throw UsageError("give either --method or --compose", "plan",
                         "--method razor makes a plan, --compose A.plan B.plan joins two");
    }
    const PlanFile file =
        options.compose.empty() ? plan_by_method(options) : plan_by_composing(options);
    write_plan(options.output, file);
    warn_of_small_windows(file);
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
    add_model(*app, *options)->required(false);
    add_run_flags(*app, *options);
    app->add_option("--method", options->method, method_help());
    app->add_option("--compose", options->compose,
                    "join plans: tokens of one (razor), vectors of another (eigen)")
        ->type_name("PLAN PLAN...")
        ->expected(2, 64);
    app->add_option("--ids", options->ids, "tokens to score heads with, instead of random ones")
        ->type_name("FILE");
    app->add_option("--stats", options->stats, "statistics of `lowkey calibrate`")
        ->type_name("STATS");
    app->add_option(
           "--prefill-attention", options->prefill_attention,
           "prompts attend to their own uncompressed tokens, or to what the cache will hold")
        ->check(CLI::IsMember({"exact", "compressed"}));
    app->add_option("-o,--output", options->output, "plan file")->required()->type_name("PLAN");
    SettingFlags& s = options->settings;
    s.number(*app, "keep",
             "share of the uncompressed cache that is kept, above 0 and up to 1: bytes (eigen), "
             "tokens of the prompt (streaming, h2o, snapkv, pyramidkv)");
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
    s.number(*app, "induction", "share of KV heads kept whole for their induction score (0.14)");
    s.number(*app, "echo", "share of KV heads kept whole for their echo score (0.01)");
    s.integer(*app, "sink", "first tokens that every head keeps (4)");
    s.integer(*app, "window", "recent tokens that the other heads keep (razor 4000)");
    s.number(*app, "window-fraction", "the same as a share of the prompt; the larger counts (0.2)");
    s.integer(*app, "random-tokens", "tokens that are repeated to score heads (2500)");
    s.integer(*app, "repeats", "how often they come (4)");
    s.integer(*app, "seed", "of random tokens and heads (0)");
    s.string(*app, "retrieval-heads", "layer:head,... or none, instead of a search");
    s.integer(*app, "random-heads", "so many heads drawn at random, for comparison");
    s.flag(*app, "no-compensation", "drop what leaves the window without a trace");
    s.string(*app, "alibi-bound", "how far heads of ALiBi models see: scaled, paper or rigorous");
    s.number(*app, "epsilon", "attention weight that such bounds neglect (0.01)");
    s.flag(*app, "reindex", "let sinks stand right before the window (streaming)");
    s.integer(*app, "recent", "newest tokens kept (h2o)");
    s.integer(*app, "heavy", "other tokens kept for the attention they got (h2o)");
    s.integer(*app, "capacity", "tokens of the prompt that are kept (snapkv, pyramidkv)");
    s.integer(*app, "observe", "last tokens of the prompt that choose them (32)");
    s.integer(*app, "kernel", "neighbours over which their attention is averaged (5)");
    s.number(*app, "beta", "the last layer keeps 1 / beta of the average (pyramidkv, 20)");
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
