#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "compress/bases.h"
#include "compress/divergence.h"
#include "compress/layer_runner.h"
#include "compress/measurement_journal.h"
#include "compress/rank_allocation.h"

namespace lowkey {

/// The low-rank form of one KV head's keys and values at every rank.
struct HeadBases {
    Basis key;
    Basis value;
};

/// Makes the plan of one head from its ranks; a rank of head_dim means uncompressed.
using MakeHead = std::function<HeadPlan(int64_t layer, int64_t kv_head, const HeadRanks& ranks)>;

/// `dense`, a plan that compresses nothing, with heads of these ranks [layer · num_kv_heads +
/// head].
CachePlan make_plan(const CachePlan& dense, const std::vector<HeadRanks>& ranks,
                    const MakeHead& make_head);

/// What keys and values cost, in nats of KL divergence of the next token to the uncompressed model.
/// Losses are measured in company, not alone: with all heads at some ranks, a head's keys, then its
/// values, are given back whole, and the divergence that this saves is their share. Away from the
/// measured rank a loss follows the energy that the basis loses.
class LossModel {
public:
    /// The sequences, bases and the journal, to which divergences go, must outlive this object.
    LossModel(std::shared_ptr<const Model> model,
              const std::vector<std::vector<int32_t>>& sequences,
              const std::vector<std::vector<HeadBases>>& bases, MakeHead make_head,
              MeasurementJournal& journal);

    /// Mean KL divergence with all heads at these ranks [layer · num_kv_heads + head].
    [[nodiscard]] double divergence(const std::vector<HeadRanks>& ranks);
    /// What giving back the keys and the values of each head saves [layer · num_kv_heads + head],
    /// around these ranks. Where heads are many, a layer's are given back together and share what
    /// that saves by the energy they lose. Draws a progress line.
    struct Shares {
        std::vector<double> key;
        std::vector<double> value;
    };
    /// How many runs of the model that takes, each from another layer on.
    static int64_t num_runs(int64_t num_layers, int64_t num_kv_heads);
    [[nodiscard]] Shares measure_shares(const std::vector<HeadRanks>& ranks);
    /// Losses at every rank from shares at `ranks`. A single share is noisy and the loss far from
    /// where it was measured a guess, so `trust` in [0, 1] says how far shares may move (as
    /// exponents) from the mean of all keys, or of all values.
    [[nodiscard]] std::vector<HeadLoss> losses(const std::vector<HeadRanks>& ranks,
                                               const Shares& shares, double trust) const;

private:
    /// The uncompressed model's, computed when first asked for.
    const ReferenceDistributions& reference();

    LayerRunner runner_;
    const std::vector<std::vector<HeadBases>>& bases_;
    MakeHead make_head_;
    MeasurementJournal& journal_;
    std::unique_ptr<ReferenceDistributions> reference_;
};

}  // namespace lowkey
