#include "compress/attention_rows.h"

#include "kernels/kernels.h"
#include "tensor/gemm.h"

namespace lowkey {

void multiply(const TokenRef& a, const TokenRef& b, bool transpose_b, float alpha, TokenMatrix& c) {
    const int64_t n = transpose_b ? b.rows() : b.cols();
    c.resize(a.rows(), n);
    gemm(a.rows(), n, a.cols(), alpha, {a.data(), a.outerStride()},
         {b.data(), b.outerStride(), transpose_b}, c.data(), c.outerStride());
}

TokenMatrix attention_probabilities(const TokenRef& q, const TokenRef& k, float softmax_scale,
                                    int64_t first_row, int64_t num_rows) {
    const int64_t seen = first_row + num_rows;
    TokenMatrix p;
    multiply(q.middleRows(first_row, num_rows), k.topRows(seen), true, softmax_scale, p);
    for (int64_t r = 0; r < num_rows; ++r) {
        float* row = p.row(r).data();
        const int64_t visible = first_row + r + 1;
        const float sum = kernels().exp_sum(row, visible, kernels().max(row, visible));
        kernels().scale(row, visible, 1 / sum);
        p.row(r).tail(seen - visible).setZero();
    }
    return p;
}

}  // namespace lowkey
