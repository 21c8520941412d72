#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "compress/bases.h"
#include "compress/divergence.h"
#include "compress/layer_runner.h"
#include "compress/rank_allocation.h"

namespace lowkey {

/// The low-rank form of one KV head's keys and values at every rank.
struct HeadBases {
    Basis key;
    Basis value;
};

/// Makes the plan of one head from its ranks; a rank of head_dim means uncompressed.
using MakeHead = std::function<HeadPlan(int64_t layer, int64_t kv_head, const HeadRanks& ranks)>;

/// Learns what each head's keys and values cost at every rank, in nats of KL divergence of the next
/// token to the uncompressed model. Losses are measured in company, not alone: with all heads at
/// some ranks, each head's keys, then its values, are given back whole, and the divergence that
/// this saves is their share. Away from the measured ranks a loss follows the energy that the basis
/// loses.
class LossModel {
public:
    /// Runs the uncompressed model over the sequences, which must outlive this object.
    LossModel(std::shared_ptr<const Model> model,
              const std::vector<std::vector<int32_t>>& sequences,
              const std::vector<std::vector<HeadBases>>& bases, MakeHead make_head);

    /// Mean KL divergence with all heads at these ranks [layer · num_kv_heads + head].
    [[nodiscard]] double divergence(const std::vector<HeadRanks>& ranks) const;
    /// Losses of all heads at every rank, as measured around these ranks. Draws a progress line.
    [[nodiscard]] std::vector<HeadLoss> measure_around(const std::vector<HeadRanks>& ranks) const;

private:
    [[nodiscard]] CachePlan make_plan(const std::vector<HeadRanks>& ranks) const;

    LayerRunner runner_;
    const std::vector<std::vector<HeadBases>>& bases_;
    MakeHead make_head_;
    std::unique_ptr<ReferenceDistributions> reference_;
};

}  // namespace lowkey
