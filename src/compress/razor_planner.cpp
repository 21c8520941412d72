#include "compress/razor_planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <random>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "compress/retrieval_scores.h"
#include "compress/token_plan.h"

namespace lowkey {
namespace {

constexpr int64_t kDefaultRandomTokens = 2500;
constexpr int64_t kDefaultWindow = 4000;

/// (layer, KV head), in this order.
using HeadSet = std::set<std::pair<int64_t, int64_t>>;

/// Per KV head the largest of its query heads' scores, [num_layers][num_kv_heads].
std::vector<std::vector<double>> group_maximum(const std::vector<std::vector<double>>& scores,
                                               int64_t group_size) {
    std::vector<std::vector<double>> out;
    for (const std::vector<double>& heads : scores) {
        std::vector<double>& groups = out.emplace_back();
        for (auto at = heads.begin(); at != heads.end(); at += group_size)
            groups.push_back(*std::max_element(at, at + group_size));
    }
    return out;
}

/// Layers whose heads can be told apart: a sliding window of the model's own is small anyway.
std::vector<int64_t> whole_layers(const ModelConfig& config) {
    std::vector<int64_t> layers;
    for (int64_t layer = 0; layer < config.num_layers; ++layer) {
        if (config.sliding_window(layer) == 0) layers.push_back(layer);
    }
    return layers;
}

/// ⌈share · heads⌉, where 0.14 · 50 is 7.
int64_t count_heads(double share, int64_t heads) {
    constexpr double kRounding = 1e-9;
    return static_cast<int64_t>(std::ceil(share * static_cast<double>(heads) - kRounding));
}

/// Adds the best heads by a score; of equal ones the lower (layer, head).
void add_best(const std::vector<std::vector<double>>& scores, const std::vector<int64_t>& layers,
              double share, HeadSet& chosen) {
    std::vector<std::pair<int64_t, int64_t>> heads;
    for (const int64_t layer : layers) {
        for (size_t head = 0; head < scores[static_cast<size_t>(layer)].size(); ++head)
            heads.emplace_back(layer, static_cast<int64_t>(head));
    }
    const auto score = [&](const std::pair<int64_t, int64_t>& head) {
        return scores[static_cast<size_t>(head.first)][static_cast<size_t>(head.second)];
    };
    std::stable_sort(heads.begin(), heads.end(),
                     [&](const auto& a, const auto& b) { return score(a) > score(b); });
    const int64_t count = count_heads(share, std::ssize(heads));
    chosen.insert(heads.begin(), heads.begin() + count);
}

HeadSet parse_heads(const std::string& text, const ModelConfig& config) {
    HeadSet heads;
    if (text == "none") return heads;
    const auto refuse = [&](std::string_view item) {
        throw UsageError(
            fmt::format("'{}' is not a KV head of this model", item), "--retrieval-heads",
            fmt::format("give layer:head pairs such as 0:1,3:0 (layers 0 to {}, KV heads 0 to {}), "
                        "or none",
                        config.num_layers - 1, config.num_kv_heads - 1));
    };
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find(',', begin), text.size());
        const std::string_view item = std::string_view(text).substr(begin, end - begin);
        int64_t layer = -1;
        int64_t head = -1;
        const char* last = item.data() + item.size();
        auto [colon, error] = std::from_chars(item.data(), last, layer);
        if (error != std::errc() || colon == last || *colon != ':') refuse(item);
        const auto [rest, second] = std::from_chars(colon + 1, last, head);
        if (second != std::errc() || rest != last) refuse(item);
        if (layer < 0 || layer >= config.num_layers || head < 0 || head >= config.num_kv_heads)
            refuse(item);
        heads.emplace(layer, head);
        begin = end + 1;
    }
    return heads;
}

/// `count` heads drawn at random, for comparison; there are so many.
HeadSet random_heads(int64_t count, const ModelConfig& config, uint64_t seed) {
    std::vector<std::pair<int64_t, int64_t>> all;
    for (const int64_t layer : whole_layers(config)) {
        for (int64_t head = 0; head < config.num_kv_heads; ++head) all.emplace_back(layer, head);
    }
    std::mt19937_64 rng(seed);
    for (int64_t i = 0; i < count; ++i) {
        const auto left = static_cast<uint64_t>(std::ssize(all) - i);
        std::swap(all[static_cast<size_t>(i)],
                  all[static_cast<size_t>(i) + uniform_below(rng, left)]);
    }
    return {all.begin(), all.begin() + count};
}

nlohmann::json to_json(const HeadSet& heads) {
    nlohmann::json out = nlohmann::json::array();
    for (const auto& [layer, head] : heads) out.push_back({layer, head});
    return out;
}

/// A NaN in a weight spreads over every score after it.
void check_finite(const std::vector<std::vector<double>>& scores, const char* what) {
    for (size_t layer = 0; layer < scores.size(); ++layer) {
        for (size_t head = 0; head < scores[layer].size(); ++head) {
            if (std::isfinite(scores[layer][head])) continue;
            throw Error(fmt::format("not finite: {}", what),
                        fmt::format("layer {}, head {}", layer, head),
                        "a weight of this layer or of one before it is broken: get the checkpoint "
                        "again");
        }
    }
}

/// Each head of an ALiBi model with a window as far as it can see, which loses next to nothing: no
/// sinks, no compensation.
PlanFile plan_by_bounds(const PlanRequest& request, PlannerSettings& given) {
    const ModelConfig& config = request.model->config();
    const std::string name = given.text("alibi-bound");
    const AlibiBound form = name == "paper"      ? AlibiBound::kPaper
                            : name == "rigorous" ? AlibiBound::kRigorous
                                                 : AlibiBound::kScaled;
    const auto bounds = alibi_bounds(*request.model, form, given.number("epsilon"));
    check_finite(bounds, "how far a head sees");
    const auto windows = group_maximum(bounds, config.group_size());
    HeadSet whole;
    PlanFile file = make_token_plan(request, [&](int64_t layer, int64_t head) {
        const double window = windows[static_cast<size_t>(layer)][static_cast<size_t>(head)];
        if (window >= static_cast<double>(request.model->max_context())) {
            whole.emplace(layer, head);
            return TokenPolicySpec{};
        }
        return TokenPolicySpec{
            "window", {{"window", std::max<int64_t>(1, static_cast<int64_t>(std::ceil(window)))}}};
    });
    finish_plan(file, request, given,
                {{"alibi_bound", bounds}, {"retrieval_heads", to_json(whole)}});
    return file;
}

/// The scores of the heads, written to `measured`, and who wins by them.
HeadSet search_heads(const PlanRequest& request, PlannerSettings& given, nlohmann::json& measured) {
    const Model& model = *request.model;
    const ModelConfig& config = model.config();
    const int64_t repeats = given.integer("repeats");
    const double induction = given.number("induction");
    const double echo = given.number("echo");
    std::vector<int32_t> ids = request.ids;
    if (ids.empty()) {
        const int64_t most = std::min(model.max_context() / repeats, config.vocab_size);
        const int64_t count =
            given.integer_within("random-tokens", std::min(kDefaultRandomTokens, most), 1, most);
        ids = random_tokens(count, config.vocab_size, static_cast<uint64_t>(given.integer("seed")));
    }
    const RetrievalScores scores = score_retrieval(model, ids, repeats);
    check_finite(scores.induction, "an induction score");
    check_finite(scores.echo, "an echo score");
    measured["induction"] = scores.induction;
    measured["echo"] = scores.echo;
    measured["tokens"] = std::ssize(ids);
    HeadSet chosen;
    const std::vector<int64_t> layers = whole_layers(config);
    add_best(group_maximum(scores.induction, config.group_size()), layers, induction, chosen);
    add_best(group_maximum(scores.echo, config.group_size()), layers, echo, chosen);
    return chosen;
}

}  // namespace

const std::vector<SettingInfo>& razor_settings() {
    using Type = SettingInfo::Type;
    static const std::vector<SettingInfo> table = {
        {.name = "induction",
         .type = Type::kNumber,
         .what = "share of KV heads kept whole for their induction score",
         .fallback = 0.14,
         .high = 1},
        {.name = "echo",
         .type = Type::kNumber,
         .what = "share of KV heads kept whole for their echo score",
         .fallback = 0.01,
         .high = 1},
        {.name = "sink",
         .type = Type::kInteger,
         .what = "first tokens that every head keeps",
         .fallback = int64_t{4},
         .high = kMaxSinks},
        {.name = "window",
         .type = Type::kInteger,
         .what = "recent tokens that the other heads keep",
         .fallback = kDefaultWindow,
         .low = 1,
         .high = 0x1p32},
        {.name = "window-fraction",
         .type = Type::kNumber,
         .what = "the same as a share of the prompt; the larger counts",
         .fallback = 0.2,
         .high = 1},
        {.name = "random-tokens",
         .type = Type::kInteger,
         .what = "tokens that are repeated to score heads (2500, or what the context holds)",
         .low = 1},
        {.name = "repeats",
         .type = Type::kInteger,
         .what = "how often they come",
         .fallback = int64_t{4},
         .low = 2,
         .high = 1 << 20},
        {.name = "seed",
         .type = Type::kInteger,
         .what = "of random tokens and heads",
         .fallback = int64_t{0}},
        {.name = "retrieval-heads",
         .type = Type::kText,
         .what = "layer:head,... or none, instead of a search"},
        {.name = "random-heads",
         .type = Type::kInteger,
         .what = "so many heads drawn at random, for comparison"},
        {.name = "no-compensation",
         .type = Type::kFlag,
         .what = "drop what leaves the window without a trace"},
        {.name = "alibi-bound",
         .type = Type::kText,
         .what = "how far heads of ALiBi models see",
         .fallback = std::string("scaled"),
         .choices = {"scaled", "paper", "rigorous"}},
        {.name = "epsilon",
         .type = Type::kNumber,
         .what = "attention weight that such bounds neglect",
         .fallback = 0.01,
         .high = 1,
         .above_low = true}};
    return table;
}

PlanFile make_razor_plan(const PlanRequest& request) {
    PlannerSettings given("razor", razor_settings(), request.settings);
    const ModelConfig& config = request.model->config();
    const bool named = given.has("retrieval-heads");
    const bool drawn = given.has("random-heads");
    const bool bounds_asked = given.has("alibi-bound");
    if (bounds_asked && config.alibi_slopes.empty()) {
        throw UsageError("the model has no ALiBi slopes", "--alibi-bound", "leave it out");
    }
    if (!config.alibi_slopes.empty() && !named && !drawn && request.ids.empty())
        return plan_by_bounds(request, given);
    if (bounds_asked) {
        throw UsageError("bounds choose the heads themselves", "--alibi-bound",
                         "leave out --retrieval-heads, --random-heads and --ids");
    }

    Settings policy{
        {"sinks",
         given.integer_within("sink", 4, 0, std::min(kMaxSinks, request.model->max_context()))}};
    policy["window"] = given.integer("window");
    policy["window_share"] = given.number("window-fraction");
    if (!given.flag("no-compensation")) policy["compensation"] = true;

    nlohmann::json measured = nlohmann::json::object();
    HeadSet whole;
    if (named) {
        whole = parse_heads(given.text("retrieval-heads"), config);
    } else if (drawn) {
        const int64_t most = std::ssize(whole_layers(config)) * config.num_kv_heads;
        whole = random_heads(given.integer_within("random-heads", 0, 0, most), config,
                             static_cast<uint64_t>(given.integer("seed")));
    } else {
        whole = search_heads(request, given, measured);
    }
    PlanFile file = make_token_plan(request, [&](int64_t layer, int64_t head) {
        return whole.count({layer, head}) > 0 ? TokenPolicySpec{}
                                              : TokenPolicySpec{"window", policy};
    });
    measured["retrieval_heads"] = to_json(whole);
    finish_plan(file, request, given, std::move(measured));
    return file;
}

}  // namespace lowkey
