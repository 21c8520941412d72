#include "tensor/linear.h"

#include <algorithm>
#include <dnnl.hpp>
#include <unordered_map>
#include <utility>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/kernels.h"

namespace lowkey {
namespace {

// Up to here a matrix-vector product per token streams the weights as fast as a matrix product
// would.
constexpr int64_t kMaxGemvTokens = 2;
// Rows of one parallel piece of a matrix-vector product.
constexpr int64_t kGemvRows = 128;
// f32 elements of weights that are converted at a time where bf16 products are slow: they stay in
// the L2 cache.
constexpr int64_t kConvertElements = 1 << 20;

dnnl::engine& cpu_engine() {
    static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    return engine;
}

dnnl::memory::data_type dnnl_type(DType dtype) {
    return dtype == DType::kBF16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

/// y [m, n] (rows y_stride apart) = x [m, k] wᵀ, w [n, k]; x and w of one dtype, y f32.
void matmul(const void* x, const void* w, DType dtype, int64_t m, int64_t n, int64_t k, float* y,
            int64_t y_stride) {
    using dnnl::memory;
    const memory::desc x_desc({m, k}, dnnl_type(dtype), memory::dims{k, 1});
    const memory::desc w_desc({k, n}, dnnl_type(dtype), memory::dims{1, k});
    const memory::desc y_desc({m, n}, memory::data_type::f32, memory::dims{y_stride, 1});
    // oneDNN keeps compiled primitives of equal shape, so making one again takes microseconds.
    const dnnl::matmul product(
        dnnl::matmul::primitive_desc(dnnl::matmul::desc(x_desc, w_desc, y_desc), cpu_engine()));
    dnnl::stream stream(cpu_engine());
    // oneDNN's C interface takes void* for inputs too.
    auto* x_data = const_cast<void*>(x);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    auto* w_data = const_cast<void*>(w);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    product.execute(stream, {{DNNL_ARG_SRC, memory(x_desc, cpu_engine(), x_data)},
                             {DNNL_ARG_WEIGHTS, memory(w_desc, cpu_engine(), w_data)},
                             {DNNL_ARG_DST, memory(y_desc, cpu_engine(), y)}});
    stream.wait();
}

class DenseLinear final : public Linear {
public:
    DenseLinear(Tensor owned, const TensorView& weight, std::vector<float> bias)
        : owned_(std::move(owned)),
          weight_(weight),
          bias_(std::move(bias)),
          fast_bf16_(has_fast_bf16()) {
        LOWKEY_CHECK(weight_.shape.size() == 2);
        LOWKEY_CHECK(bias_.empty() || static_cast<int64_t>(bias_.size()) == out_features());
    }

    [[nodiscard]] int64_t in_features() const override { return weight_.dim(1); }
    [[nodiscard]] int64_t out_features() const override { return weight_.dim(0); }
    [[nodiscard]] int64_t weight_bytes() const override { return weight_.bytes(); }
    [[nodiscard]] Tensor weight_f32() const override {
        return Tensor::convert(weight_, DType::kF32);
    }
    [[nodiscard]] std::vector<float> bias() const override { return bias_; }

    void forward(const float* x, int64_t num_tokens, float* y) const override {
        if (num_tokens == 0) return;
        if (num_tokens <= kMaxGemvTokens) {
            gemv(x, num_tokens, y);
        } else if (weight_.dtype == DType::kF32) {
            matmul(x, weight_.data, DType::kF32, num_tokens, out_features(), in_features(), y,
                   out_features());
        } else if (fast_bf16_) {
            matmul_bf16(x, num_tokens, y);
        } else {
            matmul_converted(x, num_tokens, y);
        }
        if (bias_.empty()) return;
        parallel_for(num_tokens, [&](int64_t t) {
            float* row = y + t * out_features();
            for (size_t i = 0; i < bias_.size(); ++i) row[i] += bias_[i];
        });
    }

private:
    void gemv(const float* x, int64_t num_tokens, float* y) const {
        const int64_t out = out_features();
        const int64_t in = in_features();
        parallel_for((out + kGemvRows - 1) / kGemvRows, [&](int64_t block) {
            const int64_t row = block * kGemvRows;
            const int64_t rows = std::min(kGemvRows, out - row);
            for (int64_t t = 0; t < num_tokens; ++t) {
                const float* from = x + t * in;
                float* to = y + t * out + row;
                if (weight_.dtype == DType::kF32) {
                    kernels().gemv_f32(reinterpret_cast<const float*>(weight_.data) + row * in,
                                       rows, in, from, to);
                } else {
                    kernels().gemv_bf16(reinterpret_cast<const uint16_t*>(weight_.data) + row * in,
                                        rows, in, from, to);
                }
            }
        });
    }

    void matmul_bf16(const float* x, int64_t num_tokens, float* y) const {
        Tensor rounded(DType::kBF16, {num_tokens, in_features()});
        auto* bits = reinterpret_cast<uint16_t*>(rounded.data());
        parallel_for(num_tokens, [&](int64_t t) {
            kernels().to_bf16(x + t * in_features(), bits + t * in_features(), in_features());
        });
        matmul(bits, weight_.data, DType::kBF16, num_tokens, out_features(), in_features(), y,
               out_features());
    }

    void matmul_converted(const float* x, int64_t num_tokens, float* y) const {
        const int64_t in = in_features();
        const int64_t block_rows = std::clamp<int64_t>(kConvertElements / in, 16, out_features());
        Tensor wide(DType::kF32, {block_rows, in});
        for (int64_t row = 0; row < out_features(); row += block_rows) {
            const int64_t rows = std::min(block_rows, out_features() - row);
            const auto* from = reinterpret_cast<const BF16*>(weight_.data) + row * in;
            float* to = wide.f32().data();
            parallel_for(rows, [&](int64_t r) {
                for (int64_t i = r * in; i < (r + 1) * in; ++i) to[i] = to_f32(from[i]);
            });
            matmul(x, to, DType::kF32, num_tokens, rows, in, y + row, out_features());
        }
    }

    Tensor owned_;
    TensorView weight_;
    std::vector<float> bias_;
    bool fast_bf16_;
};

}  // namespace

std::unique_ptr<Linear> make_dense_linear(const TensorView& weight, std::vector<float> bias,
                                          DType dtype) {
    if (weight.dtype == dtype)
        return std::make_unique<DenseLinear>(Tensor(), weight, std::move(bias));
    return make_dense_linear(Tensor::convert(weight, dtype), std::move(bias));
}

std::unique_ptr<Linear> make_dense_linear(Tensor weight, std::vector<float> bias) {
    const TensorView view = weight.view();  // a moved Tensor keeps its memory
    return std::make_unique<DenseLinear>(std::move(weight), view, std::move(bias));
}

}  // namespace lowkey
