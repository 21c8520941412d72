#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"

namespace lowkey {

/// Keys (before rotation) and values of all KV heads for the tokens of some sequences, one after
/// another.
struct HeadSamples {
    int64_t dim = 0;
    std::vector<int64_t> positions;  ///< [tokens]
    /// [layer][kv_head]: [tokens, dim]
    std::vector<std::vector<std::vector<float>>> keys;
    std::vector<std::vector<std::vector<float>>> values;
    [[nodiscard]] int64_t num_tokens() const { return static_cast<int64_t>(positions.size()); }
};

/// Runs the sequences through the uncompressed model; the first `skip` tokens of each are left out.
/// Draws a progress line. Throws Error when the model's numbers are not finite.
HeadSamples sample_heads(const Model& model, const std::vector<std::vector<int32_t>>& sequences,
                         int64_t skip);

}  // namespace lowkey
