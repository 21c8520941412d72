#include "attention/attention_state.h"

#include <algorithm>
#include <cmath>

namespace lowkey {

void AttentionState::clear() const {
    std::fill(max.begin(), max.end(), -std::numeric_limits<float>::infinity());
    std::fill(sum.begin(), sum.end(), 0.0f);
    std::fill(acc.begin(), acc.end(), 0.0f);
}

void AttentionState::merge(const AttentionState& other) const {
    for (size_t row = 0; row < max.size(); ++row) {
        if (other.sum[row] == 0) continue;
        const float top = std::max(max[row], other.max[row]);
        const float mine = sum[row] == 0 ? 0 : std::exp(max[row] - top);
        const float theirs = std::exp(other.max[row] - top);
        max[row] = top;
        sum[row] = sum[row] * mine + other.sum[row] * theirs;
        float* to = acc.data() + static_cast<int64_t>(row) * dim;
        const float* from = other.acc.data() + static_cast<int64_t>(row) * dim;
        for (int64_t i = 0; i < dim; ++i) to[i] = to[i] * mine + from[i] * theirs;
    }
}

void AttentionState::normalize_row(int64_t row, float* out) const {
    const float inverse = 1 / sum[static_cast<size_t>(row)];
    const float* from = acc.data() + row * dim;
    for (int64_t i = 0; i < dim; ++i) out[i] = from[i] * inverse;
}

}  // namespace lowkey
