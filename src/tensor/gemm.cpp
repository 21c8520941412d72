#include "tensor/gemm.h"

#include <dnnl.hpp>

#include "base/error.h"
#include "tensor/one_thread.h"

namespace lowkey {

void gemm(int64_t m, int64_t n, int64_t k, float alpha, const GemmOperand& a, const GemmOperand& b,
          float* c, int64_t c_stride) {
    const OneThread alone;
    const dnnl::status status =
        dnnl::sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, alpha, a.data,
                    a.stride, b.data, b.stride, 0.0f, c, c_stride);
    LOWKEY_CHECK(status == dnnl::status::success);
}

}  // namespace lowkey
