#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "compress/bases.h"
#include "compress/rank_allocation.h"
#include "model/model.h"

namespace lowkey {

/// The low-rank form of one KV head's keys and values at every rank.
struct HeadBases {
    Basis key;
    Basis value;
};

/// Makes the plan of one head from its ranks; a rank of head_dim means uncompressed.
using MakeHead = std::function<HeadPlan(int64_t layer, int64_t kv_head, const HeadRanks& ranks)>;

/// Losses of all heads [layer · num_kv_heads + head] at every rank, in nats of KL divergence of the
/// next token to the uncompressed model. Each head's keys, then its values, are compressed alone to
/// a quarter and to a half of head_dim, and the divergence is measured through the rest of the
/// model; between and beyond, loss follows the basis's energies: ln KL is linear in ln(energy
/// lost). Models with many heads are measured a layer at a time. Draws a progress line.
std::vector<HeadLoss> measure_losses(const std::shared_ptr<const Model>& model,
                                     const std::vector<std::vector<int32_t>>& sequences,
                                     const std::vector<std::vector<HeadBases>>& bases,
                                     const MakeHead& make_head);

}  // namespace lowkey
