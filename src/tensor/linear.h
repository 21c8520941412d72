#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace lowkey {

/// A linear layer y = x Wᵀ + b. What its weights are stored as is its own affair: dense today,
/// quantized formats are further implementations. Immutable and thread-safe; forward() itself uses
/// all threads.
class Linear {
public:
    virtual ~Linear() = default;

    [[nodiscard]] virtual int64_t in_features() const = 0;
    [[nodiscard]] virtual int64_t out_features() const = 0;
    /// Bytes of weights that one token's forward reads.
    [[nodiscard]] virtual int64_t weight_bytes() const = 0;

    /// x [num_tokens, in_features], y [num_tokens, out_features], f32, rows without gaps. Sums are
    /// in f32.
    virtual void forward(const float* x, int64_t num_tokens, float* y) const = 0;

    /// W [out_features, in_features] and b [out_features] (empty: none) in f32, for calibration and
    /// folding.
    [[nodiscard]] virtual Tensor weight_f32() const = 0;
    [[nodiscard]] virtual std::vector<float> bias() const = 0;
};

/// A linear layer with f32 or bf16 weights. `weight` [out, in] is used where it lies when its dtype
/// is `dtype` (its memory must outlive the layer), else converted. `bias` is empty or has `out`
/// elements.
std::unique_ptr<Linear> make_dense_linear(const TensorView& weight, std::vector<float> bias,
                                          DType dtype);
/// The same of a weight that the layer is to own (f32 or bf16).
std::unique_ptr<Linear> make_dense_linear(Tensor weight, std::vector<float> bias);

}  // namespace lowkey
