#include "tensor/f32_linear.h"

#include <algorithm>
#include <utility>

#include "kernels/kernels.h"
#include "tensor/matmul.h"

namespace lowkey {
namespace {

constexpr int64_t kBlockRows = 64;

class F32Linear final : public Linear {
public:
    F32Linear(Tensor owned, const TensorView& weight, std::vector<float> bias)
        : owned_(std::move(owned)), weight_(weight), bias_(std::move(bias)) {}

    [[nodiscard]] int64_t in_features() const override { return weight_.dim(1); }
    [[nodiscard]] int64_t out_features() const override { return weight_.dim(0); }
    [[nodiscard]] int64_t weight_bytes() const override { return weight_.bytes(); }
    [[nodiscard]] Tensor weight_f32() const override {
        return Tensor::convert(weight_, DType::kF32);
    }
    [[nodiscard]] std::vector<float> bias() const override { return bias_; }

    void forward(LinearInput& x, float* y) const override {
        const int64_t in = in_features();
        const int64_t out = out_features();
        for_each_part(x.num_tokens(), out, [&](const MatmulPart& part, int) {
            matmul({.x = x.f32() + part.first_token * in,
                    .w = weight_.as<float>().data() + part.first_out * in,
                    .dtype = DType::kF32,
                    .layout = WeightLayout::kRows,
                    .tokens = part.num_tokens,
                    .out = part.num_out,
                    .in = in,
                    .bias = bias_.empty() ? nullptr : bias_.data() + part.first_out,
                    .y = y + part.first_token * out + part.first_out,
                    .y_stride = out});
        });
    }

    [[nodiscard]] int64_t num_blocks() const override {
        return (out_features() + kBlockRows - 1) / kBlockRows;
    }
    void forward_block(int64_t block, const float* x, int64_t num_tokens, float* y) const override {
        const int64_t out = out_features();
        const int64_t in = in_features();
        const int64_t row = block * kBlockRows;
        const int64_t rows = std::min(kBlockRows, out - row);
        for (int64_t t = 0; t < num_tokens; ++t) {
            float* to = y + t * out + row;
            kernels().gemv_f32(weight_.as<float>().data() + row * in, rows, in, x + t * in, to);
            for (int64_t r = 0; r < rows && !bias_.empty(); ++r)
                to[r] += bias_[static_cast<size_t>(row + r)];
        }
    }

private:
    Tensor owned_;
    TensorView weight_;
    std::vector<float> bias_;
};

}  // namespace

std::unique_ptr<Linear> make_f32_linear(Tensor owned, const TensorView& weight,
                                        std::vector<float> bias) {
    return std::make_unique<F32Linear>(std::move(owned), weight, std::move(bias));
}

}  // namespace lowkey
