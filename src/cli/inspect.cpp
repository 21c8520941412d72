#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/size.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "compress/plan_file.h"

namespace lowkey::cli {
namespace {

struct Options {
    std::string plan;
    int64_t context = 16384;
    bool json = false;
};

/// "dense", or the codec with its rank: "low_rank 38".
std::string describe(const CodecSpec& spec) {
    const auto encode = spec.tensors.find("encode");
    if (encode == spec.tensors.end()) return spec.name;
    return fmt::format("{} {}", spec.name, encode->second->dim(1));
}

/// A codec's coordinates as a bar of head_dim, so that a plan's shape is seen at a glance.
std::string bar(const CodecSpec& spec, int64_t head_dim) {
    constexpr int64_t kWidth = 16;
    const auto encode = spec.tensors.find("encode");
    const int64_t rank = encode == spec.tensors.end() ? head_dim : encode->second->dim(1);
    const int64_t filled =
        std::clamp<int64_t>((rank * kWidth + head_dim / 2) / head_dim, 1, kWidth);
    return std::string(static_cast<size_t>(filled), '#') +
           std::string(static_cast<size_t>(kWidth - filled), '.');
}

void print(const PlanFile& file, int64_t context) {
    const PlanBytes bytes = plan_bytes(file, context);
    const bool exact = file.plan.prefill_attention == PrefillAttention::kExact;
    fmt::print(
        "method            {}\nmodel             {}\nprefill attention {}\nsettings          {}\n",
        file.method, file.fingerprint, exact ? "exact" : "compressed", file.settings.dump());
    fmt::print("cache             {} of {} at {} tokens ({:.1f} %)\n\n",
               format_bytes(bytes.allocated), format_bytes(bytes.full), context,
               100.0 * static_cast<double>(bytes.allocated) / static_cast<double>(bytes.full));
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
                       fmt::format("{:<16}", describe(head.key)), bar(head.value, file.head_dim),
                       fmt::format("{:<16}", describe(head.value)), h == 0 ? error : "");
        }
    }
}

void run(const Options& options) {
    const PlanFile file = read_plan(options.plan);
    if (options.json) {
        print_json(plan_to_json(file));
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
    app->add_flag("--json", options->json, "print the plan's own JSON on stdout");
    app->callback([options] { run(*options); });
}

}  // namespace lowkey::cli
