#include "tensor/linear.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/kernels.h"
#include "tensor/f32_linear.h"
#include "tensor/packed_linear.h"

namespace lowkey {
namespace {

// Up to here a matrix-vector product per token streams the weights as fast as a matrix product
// would.
constexpr int64_t kMaxGemvTokens = 2;

}  // namespace

const uint16_t* LinearInput::bf16() {
    if (rounded_ == nullptr) {
        uint16_t* bits = buffers_.halves(kRounded, num_tokens_ * in_features_);
        parallel_for(num_tokens_, [&](int64_t t) {
            kernels().to_bf16(x_ + t * in_features_, bits + t * in_features_, in_features_);
        });
        rounded_ = bits;
    }
    return rounded_;
}

void Linear::forward(const float* x, int64_t num_tokens, float* y) const {
    Scratch buffers;
    LinearInput input(x, num_tokens, in_features(), buffers);
    const LinearCall call{this, y};
    forward_all(input, {&call, 1});
}

void forward_all(LinearInput& x, std::span<const LinearCall> calls) {
    if (x.num_tokens() == 0) return;
    if (x.num_tokens() > kMaxGemvTokens) {
        for (const LinearCall& call : calls) call.layer->forward(x, call.y);
        return;
    }
    int64_t num_blocks = 0;
    for (const LinearCall& call : calls) num_blocks += call.layer->num_blocks();
    parallel_for_balanced(num_blocks, [&](int64_t block, int) {
        for (const LinearCall& call : calls) {
            if (block < call.layer->num_blocks()) {
                call.layer->forward_block(block, x.f32(), x.num_tokens(), call.y);
                return;
            }
            block -= call.layer->num_blocks();
        }
    });
}

std::unique_ptr<Linear> make_dense_linear(const TensorView& weight, std::vector<float> bias,
                                          DType dtype) {
    LOWKEY_CHECK(weight.shape.size() == 2);
    LOWKEY_CHECK(bias.empty() || std::ssize(bias) == weight.dim(0));
    if (dtype == DType::kBF16) return make_packed_linear(weight, std::move(bias));
    if (weight.dtype == DType::kF32) return make_f32_linear(Tensor(), weight, std::move(bias));
    Tensor converted = Tensor::convert(weight, DType::kF32);
    const TensorView view = converted.view();  // a moved Tensor keeps its memory
    return make_f32_linear(std::move(converted), view, std::move(bias));
}

std::unique_ptr<Linear> make_dense_linear(Tensor weight, std::vector<float> bias) {
    const TensorView view = weight.view();
    if (weight.dtype() == DType::kBF16) return make_packed_linear(view, std::move(bias));
    return make_f32_linear(std::move(weight), view, std::move(bias));
}

}  // namespace lowkey
