#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <memory>
#include <optional>

#include "base/error.h"
#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "compress/compose.h"
#include "compress/measurement_journal.h"
#include "compress/plan_command.h"
#include "compress/planner.h"

namespace lowkey::cli {
namespace {

/// The settings of all planners as flags, by name; those not given are left out, so that a planner
/// knows. Planners that share a name mean the same type by it.
class SettingFlags {
public:
    void add_to(CLI::App& app) {
        for (const Planner& planner : planners()) {
            for (const SettingInfo& info : planner.settings()) add(app, info);
        }
    }
    [[nodiscard]] Settings given() const {
        Settings settings;
        for (const auto& [name, flag] : flags_) {
            if (flag->option->count() > 0) settings[name] = flag->value;
        }
        return settings;
    }
    /// Before help is shown: the settings of one method with what it says of them, or none.
    void show(const std::string& method) {
        for (auto& [name, flag] : flags_) flag->option->group("");
        for (const Planner& planner : planners()) {
            if (method != planner.name) continue;
            for (const SettingInfo& info : planner.settings()) {
                CLI::Option& option = *flags_.at(info.name)->option;
                option.description(fmt::format("{} {}", info.what, describe_values(info)));
                option.group(fmt::format("Settings of {}", method));
            }
        }
    }

private:
    struct Flag {
        CLI::Option* option = nullptr;
        Setting value;
    };

    void add(CLI::App& app, const SettingInfo& info) {
        std::unique_ptr<Flag>& flag = flags_[info.name];
        if (flag != nullptr) return;
        flag = std::make_unique<Flag>();
        const std::string name = fmt::format("--{}", info.name);
        Setting& value = flag->value;
        switch (info.type) {
            case SettingInfo::Type::kFlag:
                flag->option = app.add_flag_function(
                    name, [&value](int64_t) { value = true; }, info.what);
                break;
            case SettingInfo::Type::kInteger:
                flag->option = add_typed<int64_t>(app, name, value);
                break;
            case SettingInfo::Type::kNumber:
                flag->option = add_typed<double>(app, name, value);
                break;
            case SettingInfo::Type::kText:
                flag->option = add_typed<std::string>(app, name, value);
                break;
        }
    }
    template <typename T>
    static CLI::Option* add_typed(CLI::App& app, const std::string& name, Setting& value) {
        return app.add_option_function<T>(name, [&value](const T& given) { value = given; });
    }

    std::map<std::string, std::unique_ptr<Flag>> flags_;
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
    request.journal = part_of(options.output);
    CalibrationStats stats;
    if (!options.stats.empty()) {
        stats = read_stats(options.stats, *request.model);
        request.stats = &stats;
        request.stats_name = options.stats;
    }
    if (!options.ids.empty()) {
        const auto sequences = read_ids(options.ids);
        if (sequences.size() != 1 || sequences.front().empty()) {
            throw FileError("expected one sequence of at least one token", options.ids,
                            "write input_ids [K]");
        }
        request.ids = sequences.front();
        request.ids_name = options.ids;
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
    if (const auto mode = asked_mode(options); mode) {
        file.plan.prefill_attention = *mode;
        file.settings["prefill-attention"] = options.prefill_attention;
    }
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
    check_files(options, {.reads = reads, .writes = {options.output, part_of(options.output)}});
    if (options.method.empty() == options.compose.empty()) {
        throw UsageError("give either --method or --compose", "plan",
                         "--method razor makes a plan, --compose A.plan B.plan joins two");
    }
    const PlanFile file =
        options.compose.empty() ? plan_by_method(options) : plan_by_composing(options);
    write_plan(options.output, file);
    MeasurementJournal::remove(part_of(options.output));
    warn_of_small_windows(file);
    if (options.json) {
        nlohmann::json result = file.measured;
        result["method"] = file.method;
        result["settings"] = file.settings;
        result["command"] = plan_command(options.model, options.output, file);
        print_json(result);
    } else {
        std::fprintf(stderr, "wrote %s; `lowkey inspect %s` shows it\n", options.output.c_str(),
                     options.output.c_str());
    }
}

std::string list_methods() {
    std::string help = "Methods:\n";
    for (const Planner& planner : planners())
        help += fmt::format("  {:<10} {}\n", planner.name, planner.what);
    return help +
           "Each has settings of its own: `lowkey plan --method razor --help` shows razor's. What\n"
           "--keep is a share of depends on the method: of the cache's bytes (eigen), or of the\n"
           "prompt's tokens (streaming, h2o, snapkv, pyramidkv).\n";
}

/// Help shows the settings of the method that was asked for; of all at once nobody finds any.
class PlanFormatter final : public CLI::Formatter {
public:
    explicit PlanFormatter(std::shared_ptr<Options> options) : options_(std::move(options)) {}
    std::string make_help(const CLI::App* app, std::string name,
                          CLI::AppFormatMode mode) const override {
        options_->settings.show(options_->method);
        return CLI::Formatter::make_help(app, std::move(name), mode);
    }
    std::string make_footer(const CLI::App* app) const override {
        return "\n" + (options_->method.empty() ? list_methods() : "") + "\n" + app->get_footer() +
               "\n";
    }

private:
    std::shared_ptr<Options> options_;
};

}  // namespace

void add_plan(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* app = program.add_subcommand("plan", "Make a cache plan for a model.");
    app->footer(
        "Example: lowkey plan MODEL --method eigen --stats model.stats --keep 0.6 -o eigen.plan");
    add_model(*app, *options)->required(false);
    add_run_flags(*app, *options);
    app->add_option("--method", options->method, "how to choose the cache, see below")
        ->type_name("METHOD");
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
    options->settings.add_to(*app);
    app->formatter(std::make_shared<PlanFormatter>(options));
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
