#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/escape.h"
#include "cli/command.h"
#include "cli/command_files.h"
#include "cli/commands.h"
#include "compress/plan_command.h"
#include "compress/plan_file.h"
#include "report/heat_map.h"

namespace lowkey::cli {
namespace {

struct Options {
    std::string plan;
    std::string plot;
    int64_t context = 16384;
    bool json = false;
};

/// A codec's coordinates as a bar of head_dim, so that a plan's shape is seen at a glance.
std::string bar(const CodecSpec& spec, int64_t head_dim) {
    constexpr int64_t kWidth = 16;
    const int64_t rank = num_coordinates(spec, head_dim);
    const int64_t filled =
        std::clamp<int64_t>((rank * kWidth + head_dim / 2) / head_dim, 1, kWidth);
    return std::string(static_cast<size_t>(filled), '#') +
           std::string(static_cast<size_t>(kWidth - filled), '.');
}

/// A policy in a few words: "all", "window 4000".
std::string describe(const TokenPolicySpec& policy) {
    std::string text = policy.name;
    for (const auto& [name, value] : policy.settings) {
        const bool flag = std::holds_alternative<bool>(value);
        text += flag ? ", " + name : "";
        std::visit(
            [&, &key = name](const auto& v) {
                if constexpr (std::is_same_v<std::decay_t<decltype(v)>, bool>) return;
                text += key == policy.name ? fmt::format(" {}", v) : fmt::format(", {} {}", key, v);
            },
            value);
    }
    return printable(text);
}

/// Heads that share a policy are named together: the same words for every head tell nothing.
void print_policies(const CachePlan& plan) {
    std::map<std::string, std::vector<std::string>> heads;
    size_t count = 0;
    for (size_t layer = 0; layer < plan.layers.size(); ++layer) {
        for (size_t h = 0; h < plan.layers[layer].size(); ++h, ++count)
            heads[describe(plan.layers[layer][h].policy)].push_back(fmt::format("{}:{}", layer, h));
    }
    constexpr size_t kNamed = 24;
    for (const auto& [policy, names] : heads) {
        fmt::print("tokens            {}: {} of {} KV heads", policy, names.size(), count);
        if (names.size() <= kNamed && names.size() < count)
            fmt::print(" ({})", fmt::join(names, " "));
        fmt::print("\n");
    }
}

std::vector<std::string> numbers_to(size_t count) {
    std::vector<std::string> names;
    for (size_t i = 0; i < count; ++i) names.push_back(std::to_string(i));
    return names;
}

/// Layer × head, if the plan has measured such a table; KV heads that keep all tokens are framed
/// when `frame`.
std::optional<HeatMap> measured_map(const PlanFile& file, const char* key, const char* title,
                                    bool frame) {
    const auto found = file.measured.find(key);
    const size_t layers = file.plan.layers.size();
    if (found == file.measured.end() || !found->is_array() || found->size() != layers)
        return std::nullopt;
    HeatMap map{.title = title, .row_label = "layer", .column_label = "head"};
    map.rows = numbers_to(layers);
    for (size_t layer = 0; layer < layers; ++layer) {
        const auto& row = (*found)[layer];
        const size_t kv_heads = file.plan.layers[layer].size();
        const size_t heads = row.is_array() ? row.size() : 0;
        if (heads == 0 || heads % kv_heads != 0 || (layer > 0 && heads != map.columns.size()))
            return std::nullopt;
        map.columns = numbers_to(heads);
        map.values.emplace_back();
        map.outlined.emplace_back();
        for (size_t head = 0; head < heads; ++head) {
            if (!row[head].is_number()) return std::nullopt;
            map.values.back().push_back(row[head].get<double>());
            const HeadPlan& plan = file.plan.layers[layer][head / (heads / kv_heads)];
            map.outlined.back().push_back(frame && plan.policy.name == "all");
        }
    }
    return map;
}

/// Bytes of every KV head at a context length, against the uncompressed head.
HeatMap bytes_map(const PlanFile& file, int64_t context) {
    HeatMap map{.title = fmt::format("share of the bytes at {} tokens", context),
                .row_label = "layer",
                .column_label = "KV head"};
    map.rows = numbers_to(file.plan.layers.size());
    map.columns = numbers_to(file.plan.layers.front().size());
    const CacheLayout layout = plan_layout(file);
    const double full = static_cast<double>(layout.bytes_full(context)) /
                        static_cast<double>(layout.num_layers() * layout.num_kv_heads());
    for (int64_t layer = 0; layer < layout.num_layers(); ++layer) {
        map.values.emplace_back();
        for (int64_t head = 0; head < layout.num_kv_heads(); ++head) {
            const int64_t bytes = layout.head(layer, head).pages_for(context) * kPageBytes;
            map.values.back().push_back(static_cast<double>(bytes) / full);
        }
    }
    map.high = 1;
    return map;
}

void plot(const PlanFile& file, const Options& options) {
    std::vector<HeatMap> maps;
    for (const auto& [key, title] :
         {std::pair("induction", "induction score (framed: keeps all tokens)"),
          std::pair("echo", "echo score (framed: keeps all tokens)"),
          std::pair("alibi_bound", "how far a head sees (framed: keeps all tokens)")}) {
        if (auto map = measured_map(file, key, title, true); map) maps.push_back(std::move(*map));
    }
    maps.push_back(bytes_map(file, options.context));
    AtomicFile out(options.plot);
    out.write(draw_heat_maps(maps));
    out.commit();
    std::fprintf(stderr, "wrote %s\n", options.plot.c_str());
}

/// The command that makes the plan again, of a model that the plan does not know by name.
std::string command_of(const PlanFile& file) { return plan_command("MODEL", file.path, file); }

void print(const PlanFile& file, int64_t context) {
    const PlanBytes bytes = plan_bytes(file, context);
    const bool exact = file.plan.prefill_attention == PrefillAttention::kExact;
    fmt::print(
        "method            {}\nmodel             {}\nprefill attention {}\nsettings          {}\n",
        printable(file.method), printable(file.fingerprint), exact ? "exact" : "compressed",
        printable(file.settings.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
    fmt::print("made again by     {}\n", printable(command_of(file)));
    print_policies(file.plan);
    fmt::print(
        "cache at {:<9}{}\n\n", context,
        cli::describe(CacheUsage{.bytes_allocated = bytes.allocated, .bytes_full = bytes.full}));
    fmt::print(
        "layer  head  sinks  keys                               values                             "
        "layer error\n");
    const auto measured = file.measured.find("layers");
    for (size_t layer = 0; layer < file.plan.layers.size(); ++layer) {
        std::string error;
        if (measured != file.measured.end() && measured->is_array() && layer < measured->size()) {
            const auto& row = (*measured)[layer];
            if (row.contains("error") && row["error"].is_number())
                error = fmt::format("{:.4f}", row["error"].get<double>());
        }
        for (size_t h = 0; h < file.plan.layers[layer].size(); ++h) {
            const HeadPlan& head = file.plan.layers[layer][h];
            fmt::print("{:>5}  {:>4}  {:>5}  {:<16} {}  {:<16} {}  {:>11}\n", layer, h,
                       head.exact_sinks, bar(head.key, file.head_dim),
                       fmt::format("{:<16}", printable(lowkey::describe(head.key))),
                       bar(head.value, file.head_dim),
                       fmt::format("{:<16}", printable(lowkey::describe(head.value))),
                       h == 0 ? error : "");
        }
    }
}

void run(const Options& options) {
    check_files({}, {.reads = {options.plan}, .writes = {options.plot}});
    const PlanFile file = read_plan(options.plan);
    if (!file.notice.empty())
        std::fprintf(stderr, "lowkey: note: %s: %s\n", file.path.c_str(), file.notice.c_str());
    if (!options.plot.empty()) plot(file, options);
    if (options.json) {
        const PlanBytes bytes = plan_bytes(file, options.context);
        nlohmann::json json = plan_to_json(file);
        json["command"] = command_of(file);
        json["cache"] = to_json({.bytes_allocated = bytes.allocated,
                                 .bytes_full = bytes.full,
                                 .tokens = options.context,
                                 .peak_bytes = bytes.allocated});
        print_json(json);
    } else {
        print(file, options.context);
    }
}

}  // namespace

void add_inspect(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* app = program.add_subcommand("inspect", "Show what is in a plan.");
    app->footer("Example: lowkey inspect eigen.plan --context 32768");
    app->add_option("plan", options->plan, "plan file")->required()->type_name("PLAN");
    app->add_option("--context", options->context, "tokens for which bytes are shown")
        ->check(CLI::Range(int64_t{1}, kMaxModelSize))
        ->capture_default_str();
    app->add_option("--plot", options->plot,
                    "draw heat maps of layers and heads: scores, and bytes at --context")
        ->type_name("FILE.svg");
    app->add_flag("--json", options->json,
                  "print the plan's own JSON, and `cache` at --context, on stdout");
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
