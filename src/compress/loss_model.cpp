#include "compress/loss_model.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/progress.h"
#include "compress/divergence.h"
#include "compress/layer_probe.h"

namespace lowkey {
namespace {

// Positions whose next-token distributions are compared.
constexpr int64_t kScoredPositions = 512;
// Above, heads of a layer are measured together.
constexpr int64_t kMaxSeparateHeads = 256;

/// Energy lost at each rank [0, d].
std::vector<double> tails(const Eigen::VectorXd& energy) {
    std::vector<double> tail(static_cast<size_t>(energy.size()) + 1, 0.0);
    for (Eigen::Index r = energy.size(); r-- > 0;) {
        tail[static_cast<size_t>(r)] = tail[static_cast<size_t>(r) + 1] + energy[r];
    }
    return tail;
}

struct Measured {
    int64_t rank;
    double kl;
};

/// Loss at every rank from measured ones, linear in the logarithms of loss and lost energy.
std::vector<double> loss_curve(const std::vector<double>& tail, const std::array<Measured, 2>& at,
                               double share) {
    constexpr double kLeast = 1e-12;
    const auto d = static_cast<int64_t>(tail.size()) - 1;
    const auto log_tail = [&](int64_t r) {
        return std::log(std::max(tail[static_cast<size_t>(r)], kLeast * tail[0]));
    };
    const double low = std::log(std::max(at[0].kl * share, kLeast));
    const double high = std::log(std::max(at[1].kl * share, kLeast));
    const double distance = log_tail(at[0].rank) - log_tail(at[1].rank);
    // Quadratic loss has slope 1; what was measured is trusted within a factor of two of that.
    const double slope = distance > 1e-9 ? std::clamp((low - high) / distance, 0.5, 2.0) : 1.0;
    std::vector<double> loss(tail.size(), 0.0);
    for (int64_t r = 0; r < d; ++r) {
        const bool below = r <= at[0].rank;
        const double anchor = below ? low : high;
        const double from = log_tail(below ? at[0].rank : at[1].rank);
        const double steep = r > at[1].rank ? 1.0 : slope;
        loss[static_cast<size_t>(r)] = std::exp(anchor + steep * (log_tail(r) - from));
    }
    for (int64_t r = d; r-- > 0;) {
        loss[static_cast<size_t>(r)] =
            std::max(loss[static_cast<size_t>(r)], loss[static_cast<size_t>(r) + 1]);
    }
    return loss;
}

}  // namespace

std::vector<HeadLoss> measure_losses(const std::shared_ptr<const Model>& model,
                                     const std::vector<std::vector<int32_t>>& sequences,
                                     const std::vector<std::vector<HeadBases>>& bases,
                                     const MakeHead& make_head) {
    const ModelConfig& config = model->config();
    const int64_t d = config.head_dim;
    const std::array<int64_t, 2> ranks = {std::max<int64_t>(1, d / 4), std::max<int64_t>(1, d / 2)};
    const int64_t per_layer = config.num_kv_heads;
    const bool together = config.num_layers * per_layer > kMaxSeparateHeads;
    const int64_t units = together ? 1 : per_layer;

    LayerProbe probe(model, sequences);
    const int64_t stride = (probe.num_tokens() + kScoredPositions - 1) / kScoredPositions;
    Tensor exact = Tensor::convert(probe.input().view(), DType::kF32);
    probe.run_dense(0, exact);
    const ReferenceDistributions reference(*model, exact, stride);

    std::vector<HeadLoss> losses;
    Progress progress("measure losses", config.num_layers * units * 4);
    int64_t done = 0;
    for (int64_t layer = 0; layer < config.num_layers; ++layer, probe.advance()) {
        const auto measure = [&](int64_t unit, bool key, int64_t rank) {
            std::vector<HeadPlan> heads(static_cast<size_t>(per_layer));
            for (int64_t h = 0; h < per_layer; ++h) {
                if (!together && h != unit) continue;
                heads[static_cast<size_t>(h)] =
                    make_head(layer, h, key ? HeadRanks{rank, d} : HeadRanks{d, rank});
            }
            Tensor hidden = probe.output(heads);
            probe.run_dense(layer + 1, hidden);
            const double kl = reference.mean_kl(hidden);
            progress.update(++done);
            return Measured{rank, kl};
        };
        std::vector<std::array<Measured, 2>> keys;
        std::vector<std::array<Measured, 2>> values;
        for (int64_t u = 0; u < units; ++u) {
            keys.push_back({measure(u, true, ranks[0]), measure(u, true, ranks[1])});
            values.push_back({measure(u, false, ranks[0]), measure(u, false, ranks[1])});
        }
        for (int64_t h = 0; h < per_layer; ++h) {
            const HeadBases& head = bases[static_cast<size_t>(layer)][static_cast<size_t>(h)];
            const auto unit = static_cast<size_t>(together ? 0 : h);
            const double share = together ? 1.0 / static_cast<double>(per_layer) : 1.0;
            losses.push_back({loss_curve(tails(head.key.energy), keys[unit], share),
                              loss_curve(tails(head.value.energy), values[unit], share)});
        }
    }
    return losses;
}

}  // namespace lowkey
