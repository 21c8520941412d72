#include "compress/loss_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/progress.h"

namespace lowkey {
namespace {

// Positions whose next-token distributions are compared.
constexpr int64_t kScoredPositions = 512;
// Above so many heads, those of a layer are given back together, which takes fewer runs of the
// model.
constexpr int64_t kMaxSeparateHeads = 32;
// Shares below this part of the mean (noise makes some negative), or above its inverse, count as
// that.
constexpr double kLeastShare = 0.1;

/// Energy that rank r loses.
double tail(const Basis& basis, int64_t r) {
    return basis.energy.tail(basis.energy.size() - r).sum();
}

Tensor copy(const Tensor& from) { return Tensor::convert(from.view(), DType::kF32); }

}  // namespace

LossModel::LossModel(std::shared_ptr<const Model> model,
                     const std::vector<std::vector<int32_t>>& sequences,
                     const std::vector<std::vector<HeadBases>>& bases, MakeHead make_head,
                     MeasurementJournal& journal)
    : runner_(std::move(model), sequences),
      bases_(bases),
      make_head_(std::move(make_head)),
      journal_(journal) {}

const ReferenceDistributions& LossModel::reference() {
    if (reference_ == nullptr) {
        Tensor hidden = runner_.embed();
        const int64_t stride = (hidden.dim(0) + kScoredPositions - 1) / kScoredPositions;
        runner_.run_from(0, runner_.dense(), hidden);
        reference_ = std::make_unique<ReferenceDistributions>(runner_.model(), hidden, stride);
    }
    return *reference_;
}

CachePlan make_plan(const CachePlan& dense, const std::vector<HeadRanks>& ranks,
                    const MakeHead& make_head) {
    CachePlan plan = dense;
    size_t i = 0;
    for (size_t layer = 0; layer < plan.layers.size(); ++layer) {
        for (size_t h = 0; h < plan.layers[layer].size(); ++h, ++i) {
            plan.layers[layer][h] =
                make_head(static_cast<int64_t>(layer), static_cast<int64_t>(h), ranks[i]);
        }
    }
    return plan;
}

double LossModel::divergence(const std::vector<HeadRanks>& ranks) {
    Tensor hidden = runner_.embed();
    runner_.run_from(0, make_plan(runner_.dense(), ranks, make_head_), hidden);
    return reference().mean_kl(hidden);
}

int64_t LossModel::num_runs(int64_t num_layers, int64_t num_kv_heads) {
    const int64_t heads = num_layers * num_kv_heads;
    return 2 * (heads > kMaxSeparateHeads ? num_layers : heads);
}

LossModel::Shares LossModel::measure_shares(const std::vector<HeadRanks>& ranks) {
    const CachePlan plan = make_plan(runner_.dense(), ranks, make_head_);
    const int64_t d = runner_.model().config().head_dim;
    const size_t per_layer = plan.layers.front().size();
    const bool together = static_cast<int64_t>(ranks.size()) > kMaxSeparateHeads;
    const size_t units = together ? 1 : per_layer;
    const double whole =
        journal_.value("divergence of all heads", [&] { return divergence(ranks); });

    // What giving back the keys (even), the values (odd) of each unit saves, and the energy that
    // the unit loses.
    std::vector<double> shares;
    std::vector<double> lost;
    Progress progress("measure losses", runner_.num_layers() * static_cast<int64_t>(2 * units));
    Tensor input = runner_.embed();
    for (size_t layer = 0; layer < plan.layers.size(); ++layer) {
        for (size_t unit = 0; unit < 2 * units; ++unit) {
            std::vector<HeadPlan> heads = plan.layers[layer];
            double energy = 0;
            for (size_t h = 0; h < per_layer; ++h) {
                if (!together && h != unit / 2) continue;
                HeadRanks given = ranks[layer * per_layer + h];
                const HeadBases& bases = bases_[layer][h];
                energy +=
                    unit % 2 == 0 ? tail(bases.key, given.key) : tail(bases.value, given.value);
                (unit % 2 == 0 ? given.key : given.value) = d;
                heads[h] = make_head_(static_cast<int64_t>(layer), static_cast<int64_t>(h), given);
            }
            const std::string name = fmt::format(
                "divergence with {} of layer {} given back{}", unit % 2 == 0 ? "keys" : "values",
                layer, together ? "" : fmt::format(", KV head {}", unit / 2));
            shares.push_back(whole - journal_.value(name, [&] {
                Tensor hidden = copy(input);
                runner_.run(static_cast<int64_t>(layer), heads, hidden);
                runner_.run_from(static_cast<int64_t>(layer) + 1, plan, hidden);
                return reference().mean_kl(hidden);
            }));
            lost.push_back(energy);
            progress.update(static_cast<int64_t>(shares.size()));
        }
        runner_.run(static_cast<int64_t>(layer), plan.layers[layer], input);
    }
    Shares out;
    for (size_t i = 0; i < ranks.size(); ++i) {
        const HeadBases& bases = bases_[i / per_layer][i % per_layer];
        const size_t unit = 2 * (i / per_layer * units + (together ? 0 : i % per_layer));
        const auto part = [&](size_t u, double energy) {
            return lost[u] > 0 ? shares[u] * energy / lost[u] : 0;
        };
        out.key.push_back(part(unit, tail(bases.key, ranks[i].key)));
        out.value.push_back(part(unit + 1, tail(bases.value, ranks[i].value)));
    }
    return out;
}

std::vector<HeadLoss> LossModel::losses(const std::vector<HeadRanks>& ranks, const Shares& shares,
                                        double trust) const {
    const size_t per_layer = bases_.front().size();
    const auto mean_of = [](const std::vector<double>& x) {
        double sum = 0;
        for (const double v : x) sum += v;
        return std::max(sum / static_cast<double>(x.size()), 1e-12);
    };
    const double key_mean = mean_of(shares.key);
    const double value_mean = mean_of(shares.value);
    const auto curve = [&](const Basis& basis, int64_t rank, double share, double mean) {
        const double ratio = std::clamp(share / mean, kLeastShare, 1 / kLeastShare);
        const double lost = tail(basis, rank);
        // Nothing lost yet: the mean share stands for losing all.
        const double per_energy =
            mean * std::pow(ratio, trust) / (lost > 0 ? lost : basis.energy.sum());
        std::vector<double> loss;
        for (int64_t r = 0; r <= basis.energy.size(); ++r)
            loss.push_back(per_energy * tail(basis, r));
        return loss;
    };
    std::vector<HeadLoss> out;
    for (size_t i = 0; i < ranks.size(); ++i) {
        const HeadBases& bases = bases_[i / per_layer][i % per_layer];
        out.push_back({curve(bases.key, ranks[i].key, shares.key[i], key_mean),
                       curve(bases.value, ranks[i].value, shares.value[i], value_mean)});
    }
    return out;
}

}  // namespace lowkey
