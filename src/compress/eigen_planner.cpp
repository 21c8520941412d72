#include "compress/eigen_planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/progress.h"
#include "base/size.h"
#include "compress/bases.h"
#include "compress/bits_planner.h"
#include "compress/layer_probe.h"
#include "compress/layer_runner.h"
#include "compress/loss_model.h"
#include "compress/measurement_journal.h"
#include "compress/rank_allocation.h"
#include "compress/rank_contest.h"
#include "kernels/kernels.h"
#include "kvcache/token_policy.h"

namespace lowkey {
namespace {

// Keys are cheaper than values wherever this was measured, so the search starts low.
constexpr double kFirstKeyShare = 0.35;
constexpr double kKeyShareStep = 0.05;
constexpr double kLeastThreshold = 0.3;  // of the layer-wise search, as in the published code
constexpr double kLongSeconds = 5;       // what takes longer is announced
// Calibration tokens on which errors are measured and ranks compared, and losses measured: the
// latter take many more runs. Fewer than this make plans of more divergence on other text.
constexpr int64_t kErrorTokens = 4096;
constexpr int64_t kLossTokens = 1024;

enum class Allocation { kLoss, kError, kEnergy, kUniform };

struct EigenSettings {
    std::optional<double> keep;
    std::optional<double> error_budget;
    std::optional<double> energy_threshold;
    Allocation allocation = Allocation::kLoss;
    EnergyKind energy = EnergyKind::kSquared;
    bool per_layer = false;
    std::string key_basis;
    std::string value_basis;
    int64_t exact_sinks = 0;
    int64_t exact_recent = 0;
    int64_t error_tokens = kErrorTokens;
    int64_t loss_tokens = kLossTokens;
};

std::vector<std::string> names_of(const std::vector<BasisKind>& kinds) {
    std::vector<std::string> names;
    for (const BasisKind& kind : kinds) names.emplace_back(kind.name);
    return names;
}

EigenSettings read_settings(PlannerSettings& given, bool rotary) {
    if (given.has("preset")) {  // there is one: paper
        const auto prefer = [&](const char* name, const Setting& value) {
            if (!given.has(name)) given.decide(name, value);
        };
        prefer("key-basis", std::string(rotary ? "keys" : "joint"));
        prefer("value-basis", std::string("values"));
        prefer("ranks", std::string("per-layer"));
        prefer("exact-sinks", int64_t{0});
        if (given.has("keep")) prefer("allocation", std::string("error"));
    }
    const auto goal = [&](const char* name) {
        return given.has(name) ? std::optional(given.number(name)) : std::nullopt;
    };
    EigenSettings s;
    s.keep = goal("keep");
    s.error_budget = goal("error-budget");
    s.energy_threshold = goal("energy-threshold");
    if ((s.keep ? 1 : 0) + (s.error_budget ? 1 : 0) + (s.energy_threshold ? 1 : 0) != 1) {
        throw UsageError("give exactly one of --keep, --error-budget and --energy-threshold",
                         "--method eigen", "--keep 0.6 keeps 60 % of the cache's bytes");
    }
    if (s.keep) {
        const std::string allocation = given.text("allocation");
        s.allocation = allocation == "error"     ? Allocation::kError
                       : allocation == "energy"  ? Allocation::kEnergy
                       : allocation == "uniform" ? Allocation::kUniform
                                                 : Allocation::kLoss;
    }
    s.energy = given.text("energy") == "squared" ? EnergyKind::kSquared : EnergyKind::kSingular;
    s.per_layer = given.text("ranks") == "per-layer";
    s.key_basis = given.text("key-basis");
    s.value_basis = given.text("value-basis");
    s.exact_sinks = given.integer("exact-sinks");
    if (given.has("exact-recent")) s.exact_recent = given.integer("exact-recent");
    if (given.has("search-tokens")) s.error_tokens = s.loss_tokens = given.integer("search-tokens");
    return s;
}

/// Key and value ranks of a layer's heads.
using LayerRanks = std::vector<HeadRanks>;

class EigenPlanner {
public:
    EigenPlanner(std::shared_ptr<const Model> model, const CalibrationStats& stats,
                 PlannerSettings& given, MeasurementJournal& journal)
        : model_(std::move(model)),
          stats_(stats),
          given_(given),
          s_(read_settings(given, model_->rotates())),
          journal_(journal),
          config_(model_->config()) {
        const bool rotary = model_->rotates();
        const BasisKind& key = find_key_basis(s_.key_basis, rotary);
        const BasisKind& value = find_value_basis(s_.value_basis);
        key_space_ = rotary && !key.after_rotation ? "before_rotation" : "after_rotation";
        for (const auto& heads : head_grams(*model_, stats_, s_.exact_sinks == 0)) {
            std::vector<HeadBases>& layer = bases_.emplace_back();
            for (const HeadGrams& grams : heads)
                layer.push_back({key.make(grams), value.make(grams)});
        }
    }

    /// The plan, and what was measured on it.
    std::pair<PlanFile, nlohmann::json> make() {
        std::vector<LayerRanks> ranks;
        if (s_.energy_threshold) {
            ranks = threshold_ranks(std::vector<double>(bases_.size(), *s_.energy_threshold));
        } else if (s_.error_budget) {
            ranks = search_ranks(*s_.error_budget);
        } else if (s_.allocation == Allocation::kLoss) {
            ranks = loss_ranks();
        } else if (s_.allocation == Allocation::kError) {
            ranks = searched_keep_ranks();
        } else if (s_.allocation == Allocation::kEnergy) {
            ranks = energy_keep_ranks();
        } else {
            ranks = uniform_keep_ranks();
        }
        return write(ranks);
    }

private:
    // ---- ranks ----

    [[nodiscard]] LayerRanks layer_ranks(size_t layer, double threshold) const {
        LayerRanks ranks;
        HeadRanks most;
        for (const HeadBases& head : bases_[layer]) {
            ranks.push_back({rank_for(head.key.energy, threshold, s_.energy),
                             rank_for(head.value.energy, threshold, s_.energy)});
            most = {std::max(most.key, ranks.back().key), std::max(most.value, ranks.back().value)};
        }
        if (s_.per_layer) ranks.assign(ranks.size(), most);
        return ranks;
    }
    [[nodiscard]] std::vector<LayerRanks> threshold_ranks(
        const std::vector<double>& thresholds) const {
        std::vector<LayerRanks> ranks;
        for (size_t layer = 0; layer < bases_.size(); ++layer)
            ranks.push_back(layer_ranks(layer, thresholds[layer]));
        return ranks;
    }

    /// Thresholds 1, 1 - step, … of the layer-wise search.
    [[nodiscard]] std::vector<double> ladder() const {
        const double step = given_.number("step");
        std::vector<double> thresholds;
        for (int64_t i = 0;; ++i) {
            const double threshold = std::round((1 - static_cast<double>(i) * step) * 1e9) / 1e9;
            if (threshold < kLeastThreshold) return thresholds;
            thresholds.push_back(threshold);
        }
    }

    static double seconds_since(std::chrono::steady_clock::time_point begin) {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    static void estimate(double seconds) {
        if (seconds >= kLongSeconds)
            Progress::say(fmt::format("planning takes about {}", format_seconds(seconds)));
    }

    /// errors[layer][i] of threshold i of the ladder; a layer's row ends with the first error above
    /// `stop`.
    [[nodiscard]] std::vector<std::vector<double>> ladder_errors(double stop) const {
        const std::vector<double> thresholds = ladder();
        const auto sequences = first_sequences(stats_.ids, s_.error_tokens);
        const LayerRunner runner(model_, sequences);
        LayerProbe probe(runner);
        Progress progress("layer errors",
                          config_.num_layers * static_cast<int64_t>(thresholds.size()));
        const auto begin = std::chrono::steady_clock::now();
        std::vector<std::vector<double>> errors;
        for (size_t layer = 0; layer < bases_.size(); ++layer, probe.advance()) {
            if (layer == 1 && journal_.found() == 0)
                estimate(seconds_since(begin) * static_cast<double>(bases_.size()));
            std::vector<double>& row = errors.emplace_back();
            LayerRanks last;
            for (size_t i = 0; i < thresholds.size(); ++i) {
                LayerRanks ranks = layer_ranks(layer, thresholds[i]);
                const bool same =
                    i > 0 && std::equal(ranks.begin(), ranks.end(), last.begin(), equal_ranks);
                const auto measure = [&] { return probe.error(make_heads(layer, ranks)); };
                row.push_back(same ? row.back()
                                   : journal_.value(fmt::format("error of layer {} at {}", layer,
                                                                thresholds[i]),
                                                    measure));
                last = std::move(ranks);
                progress.update(static_cast<int64_t>(layer * thresholds.size() + i + 1),
                                "layer " + std::to_string(layer));
                if (i > 0 && row.back() > stop) break;
            }
        }
        return errors;
    }

    /// Per layer the last threshold before the first error above the budget.
    [[nodiscard]] std::vector<double> search(const std::vector<std::vector<double>>& errors,
                                             double budget) const {
        const std::vector<double> thresholds = ladder();
        std::vector<double> found;
        for (const std::vector<double>& row : errors) {
            size_t i = 1;
            while (i < row.size() && row[i] <= budget) ++i;
            found.push_back(thresholds[i - 1]);
        }
        return found;
    }

    [[nodiscard]] std::vector<LayerRanks> search_ranks(double budget) {
        const std::vector<double> thresholds = search(ladder_errors(budget), budget);
        measured_["thresholds"] = thresholds;
        return threshold_ranks(thresholds);
    }

    /// The smallest budget of the layer-wise search whose plan takes at most `keep`: candidates are
    /// the errors themselves.
    [[nodiscard]] std::vector<LayerRanks> searched_keep_ranks() {
        const auto errors = ladder_errors(INFINITY);
        std::vector<double> budgets = {0};
        for (const auto& row : errors) budgets.insert(budgets.end(), row.begin(), row.end());
        std::sort(budgets.begin(), budgets.end());
        const auto fits = [&](double budget) {
            return page_share(threshold_ranks(search(errors, budget))) <= *s_.keep;
        };
        const auto first = std::partition_point(budgets.begin(), budgets.end(),
                                                [&](double b) { return !fits(b); });
        if (first == budgets.end()) {
            throw UsageError(
                "the layer-wise search ends above this", "--keep",
                "its lowest threshold takes a larger share; use --allocation loss or energy");
        }
        const double budget = *first;
        measured_["error_budget"] = budget;
        measured_["thresholds"] = search(errors, budget);
        return threshold_ranks(search(errors, budget));
    }

    [[nodiscard]] std::vector<LayerRanks> energy_keep_ranks() {
        double low = 0;
        double high = 1;
        for (int i = 0; i < 50; ++i) {
            const double middle = (low + high) / 2;
            const auto ranks = threshold_ranks(std::vector<double>(bases_.size(), middle));
            (page_share(ranks) > *s_.keep ? high : low) = middle;
        }
        measured_["threshold"] = low;
        return threshold_ranks(std::vector<double>(bases_.size(), low));
    }

    [[nodiscard]] std::vector<LayerRanks> uniform_keep_ranks() const {
        const auto rank =
            static_cast<int64_t>(std::lround(*s_.keep * static_cast<double>(config_.head_dim)));
        HeadRanks all{std::max<int64_t>(1, rank), std::max<int64_t>(1, rank)};
        // Tiles hold pairs of a key's coordinates: with whole pairs they begin at cache lines,
        // and no load of attention crosses two.
        if (all.key % 2 != 0 && all.key < config_.head_dim && all.value > 1) {
            ++all.key;
            --all.value;
        }
        return {bases_.size(), LayerRanks(static_cast<size_t>(config_.num_kv_heads), all)};
    }

    /// Ranks of least measured loss. First the best split between keys and values that is the same
    /// in every head; then, for as long as it helps, what shares of the loss measured around it
    /// suggest when trusted more and more. The divergence on calibration text decides.
    [[nodiscard]] std::vector<LayerRanks> loss_ranks() {
        const MakeHead make = [&](int64_t layer, int64_t head, const HeadRanks& ranks) {
            return make_head(static_cast<size_t>(layer), static_cast<size_t>(head), ranks);
        };
        const auto sequences = first_sequences(stats_.ids, s_.error_tokens);
        RankContest contest(model_, sequences, make, journal_);
        enter_splits(contest);
        enter_marginal_losses(contest, first_sequences(sequences, s_.loss_tokens), make);
        measured_["nll"] = contest.nll();
        measured_["kl"] = contest.kl();
        measured_["tried"] = contest.entries();
        return unflatten(contest.best());
    }

    /// Steps from the first key share in the direction that helps, as long as it does.
    void enter_splits(RankContest& contest) const {
        const auto enter = [&](double key_share) {
            return contest.enter(fmt::format("keys {:g}", key_share), split_keep_ranks(key_share));
        };
        const auto begin = std::chrono::steady_clock::now();
        const bool fresh = !journal_.has("divergence of keys 0.35");
        enter(kFirstKeyShare);
        if (fresh) {
            // The first run the uncompressed model, too. About three more splits and three
            // allocations follow, the losses, whose runs begin at every layer, and the errors.
            const auto units =
                static_cast<double>(LossModel::num_runs(config_.num_layers, config_.num_kv_heads));
            estimate(seconds_since(begin) / 2 * (3 + units / 2 + 3 + 2));
        }
        double step = kKeyShareStep;
        double share = kFirstKeyShare + step;
        if (!enter(share)) {
            step = -step;
            share = kFirstKeyShare;
        }
        do {
            share += step;
        } while (share > kKeyShareStep && share < 1 - kKeyShareStep && enter(share));
    }

    /// Measures what keys and values cost around the best ranks, and trusts that more and more as
    /// long as it helps.
    void enter_marginal_losses(RankContest& contest,
                               const std::vector<std::vector<int32_t>>& sequences,
                               const MakeHead& make) const {
        const std::vector<HeadRanks> around = contest.best();
        LossModel model(model_, sequences, bases_, make, journal_);
        const LossModel::Shares shares = model.measure_shares(around);
        for (const double trust : {0.15, 0.3, 0.6, 1.0}) {
            const auto ranks = allocate_ranks(model.losses(around, shares, trust), *s_.keep,
                                              kPageBytes, dtype_bytes(model_->options().dtype));
            if (!contest.enter(fmt::format("shares {:g}", trust), ranks)) return;
        }
    }

    /// The same share of coordinates for keys in every head. Heads differ in what a page's tiles
    /// leave over: as many of them as `keep` pays for, evenly spread, have one tile less in a page,
    /// and with it more coordinates.
    [[nodiscard]] std::vector<HeadRanks> split_keep_ranks(double key_share) const {
        const int64_t d = config_.head_dim;
        const int64_t element = dtype_bytes(model_->options().dtype);
        const auto bytes = [&](int64_t coordinates) {
            return page_bytes_per_token(coordinates, kPageBytes, element);
        };
        const double budget = *s_.keep * bytes(2 * d);
        int64_t fewer = 2;
        while (fewer < 2 * d && bytes(fewer + 1) <= budget) ++fewer;
        int64_t more = std::min(fewer + 1, 2 * d);
        while (more < 2 * d && bytes(more + 1) == bytes(more)) ++more;
        const double step = bytes(more) - bytes(fewer);
        const double part = step > 0 ? (budget - bytes(fewer)) / step : 0;  // of the heads

        std::vector<HeadRanks> ranks;
        const int64_t heads = config_.num_layers * config_.num_kv_heads;
        for (int64_t h = 0; h < heads; ++h) {
            const bool gets_more = std::floor(part * static_cast<double>(h + 1)) >
                                   std::floor(part * static_cast<double>(h));
            const int64_t total = gets_more ? more : fewer;
            const auto wanted =
                static_cast<int64_t>(std::lround(key_share * static_cast<double>(total)));
            const int64_t key = std::clamp<int64_t>(wanted, std::max<int64_t>(1, total - d),
                                                    std::min(d, total - 1));
            ranks.push_back({key, total - key});
        }
        return ranks;
    }

    [[nodiscard]] std::vector<LayerRanks> unflatten(const std::vector<HeadRanks>& flat) const {
        std::vector<LayerRanks> layers;
        const auto heads = static_cast<std::ptrdiff_t>(config_.num_kv_heads);
        for (auto at = flat.begin(); at != flat.end(); at += heads)
            layers.emplace_back(at, at + heads);
        return layers;
    }

    static bool equal_ranks(const HeadRanks& a, const HeadRanks& b) {
        return a.key == b.key && a.value == b.value;
    }

    /// Bytes per token of pages over those of the uncompressed cache.
    [[nodiscard]] double page_share(const std::vector<LayerRanks>& ranks) const {
        const int64_t element = dtype_bytes(model_->options().dtype);
        double bytes = 0;
        int64_t heads = 0;
        for (const LayerRanks& layer : ranks) {
            for (const HeadRanks& r : layer) {
                bytes += page_bytes_per_token(r.key + r.value, kPageBytes, element);
                ++heads;
            }
        }
        return bytes / static_cast<double>(heads * 2 * config_.head_dim * element);
    }

    // ---- plan ----

    static std::shared_ptr<const Tensor> leading(const Eigen::MatrixXd& m, int64_t rows,
                                                 int64_t cols) {
        auto tensor = std::make_shared<Tensor>(DType::kF32, Shape{rows, cols});
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t c = 0; c < cols; ++c) {
                tensor->f32()[static_cast<size_t>(r * cols + c)] = static_cast<float>(m(r, c));
            }
        }
        return tensor;
    }

    /// All ranks kept is the uncompressed vector: nothing is projected.
    [[nodiscard]] static CodecSpec make_codec(const Basis& basis, int64_t rank) {
        const int64_t d = basis.energy.size();
        if (rank >= d) return {};
        CodecSpec spec;
        spec.map = {"linear",
                    {},
                    {{"encode", leading(basis.encode, d, rank)},
                     {"decode", leading(basis.decode, rank, d)}}};
        return spec;
    }

    [[nodiscard]] HeadPlan make_head(size_t layer, size_t head, const HeadRanks& ranks) const {
        const HeadBases& bases = bases_[layer][head];
        HeadPlan plan;
        plan.key = make_codec(bases.key, ranks.key);
        if (!is_plain(plan.key)) plan.key.map.settings["space"] = std::string(key_space_);
        plan.value = make_codec(bases.value, ranks.value);
        const bool compressed = ranks.key < config_.head_dim || ranks.value < config_.head_dim;
        plan.exact_sinks = compressed ? s_.exact_sinks : 0;
        plan.exact_recent = compressed ? s_.exact_recent : 0;
        return plan;
    }
    [[nodiscard]] std::vector<HeadPlan> make_heads(size_t layer, const LayerRanks& ranks) const {
        std::vector<HeadPlan> heads;
        for (size_t h = 0; h < ranks.size(); ++h) heads.push_back(make_head(layer, h, ranks[h]));
        return heads;
    }

    std::pair<PlanFile, nlohmann::json> write(const std::vector<LayerRanks>& ranks) {
        PlanFile file;
        file.fingerprint = model_->fingerprint();
        file.head_dim = config_.head_dim;
        const auto sequences = first_sequences(stats_.ids, s_.error_tokens);
        const LayerRunner runner(model_, sequences);
        LayerProbe probe(runner);
        Progress progress("measure plan", config_.num_layers);
        nlohmann::json layers = nlohmann::json::array();
        int64_t kept = 0;
        for (size_t layer = 0; layer < ranks.size(); ++layer, probe.advance()) {
            std::vector<HeadPlan> heads = make_heads(layer, ranks[layer]);
            nlohmann::json key_ranks = nlohmann::json::array();
            nlohmann::json value_ranks = nlohmann::json::array();
            for (const HeadRanks& r : ranks[layer]) {
                key_ranks.push_back(r.key);
                value_ranks.push_back(r.value);
                kept += r.key + r.value;
            }
            layers.push_back({{"key_ranks", std::move(key_ranks)},
                              {"value_ranks", std::move(value_ranks)},
                              {"error", journal_.value(fmt::format("error of layer {}", layer),
                                                       [&] { return probe.error(heads); })}});
            file.plan.layers.push_back(std::move(heads));
            progress.update(static_cast<int64_t>(layer) + 1);
        }
        const auto whole =
            static_cast<double>(2 * config_.num_layers * config_.num_kv_heads * config_.head_dim);
        measured_["keep"] = static_cast<double>(kept) / whole;
        measured_["page_share"] = page_share(ranks);
        measured_["layers"] = std::move(layers);
        return {std::move(file), std::move(measured_)};
    }

    std::shared_ptr<const Model> model_;
    const CalibrationStats& stats_;
    PlannerSettings& given_;
    EigenSettings s_;
    MeasurementJournal& journal_;
    const ModelConfig& config_;
    const char* key_space_ = "after_rotation";
    std::vector<std::vector<HeadBases>> bases_;
    nlohmann::json measured_ = nlohmann::json::object();
};

/// All that the measurements depend on.
nlohmann::json journal_settings(const Model& model, const CalibrationStats& stats,
                                const PlannerSettings& given) {
    nlohmann::json settings = nlohmann::json::object();
    for (const auto& [name, value] : given.all())
        std::visit([&, &key = name](const auto& v) { settings[key] = v; }, value);
    return {{"method", "eigen"},
            {"settings", std::move(settings)},
            {"version", LOWKEY_VERSION},
            {"model", model.fingerprint()},
            {"dtype", dtype_name(model.options().dtype)},
            {"max_context", model.max_context()},
            {"isa", kernels().isa},
            {"stats", stats_hash(stats)}};
}

}  // namespace

const std::vector<SettingInfo>& eigen_settings() {
    using Type = SettingInfo::Type;
    static const std::vector<SettingInfo> table = {
        {.name = "keep",
         .type = Type::kNumber,
         .what = "share of the uncompressed cache's bytes that is kept (of bytes, not of tokens)",
         .high = 1,
         .above_low = true},
        {.name = "error-budget",
         .type = Type::kNumber,
         .what = "instead: largest relative error of a layer's output (layer-wise search)",
         .high = 1e9,
         .above_low = true},
        {.name = "energy-threshold",
         .type = Type::kNumber,
         .what = "instead: kept share of energy, the same in every head",
         .high = 1e9,
         .above_low = true},
        {.name = "bits",
         .type = Type::kNumber,
         .what = "instead: bits of an original number, all keys and values take alike, with scales",
         .low = 0.5,
         .high = 8},
        {.name = "key-bits",
         .type = Type::kNumber,
         .what = "the same of keys (--bits)",
         .low = 0.25,
         .high = 8},
        {.name = "value-bits",
         .type = Type::kNumber,
         .what = "the same of values (--bits)",
         .low = 0.25,
         .high = 8},
        {.name = "key-space",
         .type = Type::kText,
         .what = "with --bits: keys as they are coded (in-block; heads that select tokens need "
                 "another)",
         .choices = {"in-block", "before-rotation", "after-rotation"}},
        {.name = "fast-planes",
         .type = Type::kInteger,
         .what = "in-block: rotary planes, the fastest, in blocks of --fast-span (3/8 of all)"},
        {.name = "fast-span",
         .type = Type::kInteger,
         .what = "tokens of a block of fast planes, a power of two",
         .fallback = int64_t{16},
         .low = 16,
         .high = 1 << 16},
        {.name = "slow-span",
         .type = Type::kInteger,
         .what = "tokens of a block of all other planes, a power of two",
         .fallback = int64_t{128},
         .low = 16,
         .high = 1 << 16},
        {.name = "exact-recent",
         .type = Type::kInteger,
         .what = "newest tokens that a query sees uncompressed (32 with --bits, else 0)",
         .high = kMaxRecent},
        {.name = "allocation",
         .type = Type::kText,
         .what = "how --keep chooses ranks",
         .fallback = std::string("loss"),
         .choices = {"loss", "error", "energy", "uniform"}},
        {.name = "energy",
         .type = Type::kText,
         .what = "threshold over squared or plain singular values",
         .fallback = std::string("squared"),
         .choices = {"squared", "singular"}},
        {.name = "ranks",
         .type = Type::kText,
         .what = "whether heads of a layer may differ",
         .fallback = std::string("per-head"),
         .choices = {"per-head", "per-layer"}},
        {.name = "key-basis",
         .type = Type::kText,
         .what = "vectors on which keys are projected",
         .fallback = std::string("keys-attended"),
         .choices = names_of(key_basis_kinds())},
        {.name = "value-basis",
         .type = Type::kText,
         .what = "vectors on which values are projected",
         .fallback = std::string("values-wo"),
         .choices = names_of(value_basis_kinds())},
        {.name = "step",
         .type = Type::kNumber,
         .what = "step of the layer-wise search",
         .fallback = 0.02,
         .high = 0.5,
         .above_low = true},
        {.name = "exact-sinks",
         .type = Type::kInteger,
         .what = "first tokens kept uncompressed",
         .fallback = int64_t{4},
         .high = kMaxSinks},
        {.name = "search-tokens",
         .type = Type::kInteger,
         .what = "calibration tokens on which errors and losses are measured (4096 and 1024)",
         .low = 1},
        {.name = "preset",
         .type = Type::kText,
         .what = "Eigen Attention to the letter",
         .choices = {"paper"}}};
    return table;
}

PlanFile make_eigen_plan(const PlanRequest& request) {
    if (request.stats == nullptr) {
        throw UsageError("this method needs calibration statistics", "--method eigen",
                         "give --stats from `lowkey calibrate`");
    }
    PlannerSettings given("eigen", eigen_settings(), request.settings);
    if (given.has("bits") || given.has("key-bits") || given.has("value-bits"))
        return make_bits_plan(request, given);
    static_cast<void>(read_settings(given, request.model->rotates()));
    std::optional<MeasurementJournal> journal;
    if (request.journal.empty()) {
        journal.emplace();
    } else {
        journal.emplace(request.journal, journal_settings(*request.model, *request.stats, given));
    }
    auto [file, measured] = EigenPlanner(request.model, *request.stats, given, *journal).make();
    file.plan.prefill_attention = request.prefill_attention.value_or(PrefillAttention::kCompressed);
    finish_plan(file, request, given, std::move(measured));
    return file;
}

}  // namespace lowkey
