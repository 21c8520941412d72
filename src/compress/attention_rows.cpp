#include "compress/attention_rows.h"

#include <algorithm>

#include "kernels/kernels.h"
#include "tensor/gemm.h"

namespace lowkey {

void multiply(const TokenRef& a, const TokenRef& b, bool transpose_b, float alpha, TokenMatrix& c) {
    const int64_t n = transpose_b ? b.rows() : b.cols();
    c.resize(a.rows(), n);
    gemm(a.rows(), n, a.cols(), alpha, {a.data(), a.outerStride()},
         {b.data(), b.outerStride(), transpose_b}, c.data(), c.outerStride());
}

ScoreRules score_rules(const ModelConfig& config, int64_t layer, int64_t head) {
    return {.softmax_scale = static_cast<float>(config.softmax_scale),
            .softcap = static_cast<float>(config.attention_softcap),
            .alibi_slope =
                config.alibi_slopes.empty() ? 0.0f : config.alibi_slopes[static_cast<size_t>(head)],
            .sliding_window = config.sliding_window(layer)};
}

TokenMatrix attention_probabilities(const TokenRef& q, const TokenRef& k, const ScoreRules& rules,
                                    int64_t first_row, int64_t num_rows) {
    const int64_t seen = first_row + num_rows;
    TokenMatrix p;
    multiply(q.middleRows(first_row, num_rows), k.topRows(seen), true, rules.softmax_scale, p);
    for (int64_t r = 0; r < num_rows; ++r) {
        const int64_t end = first_row + r + 1;
        const int64_t begin =
            rules.sliding_window > 0 ? std::max<int64_t>(0, end - rules.sliding_window) : 0;
        const int64_t visible = end - begin;
        float* row = p.row(r).data() + begin;
        if (rules.softcap > 0) kernels().softcap(row, visible, rules.softcap);
        if (rules.alibi_slope > 0) {
            const float farthest = -rules.alibi_slope * static_cast<float>(visible - 1);
            kernels().add_ramp(row, visible, farthest, rules.alibi_slope);
        }
        const float sum = kernels().exp_sum(row, visible, kernels().max(row, visible));
        kernels().scale(row, visible, 1 / sum);
        p.row(r).head(begin).setZero();
        p.row(r).tail(seen - end).setZero();
    }
    return p;
}

}  // namespace lowkey
