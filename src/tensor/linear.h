#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tensor/scratch.h"
#include "tensor/tensor.h"

namespace lowkey {

/// What one or more linear layers are applied to: rows of f32, and the same in bf16 once some layer
/// has asked for them. Not thread-safe.
class LinearInput {
public:
    /// x [num_tokens, in_features] f32, rows without gaps. The first kNumSlots slots of
    /// `buffers` are used, which may serve one input at a time. Both must outlive the object.
    LinearInput(const float* x, int64_t num_tokens, int64_t in_features, Scratch& buffers)
        : x_(x), num_tokens_(num_tokens), in_features_(in_features), buffers_(buffers) {}
    static constexpr size_t kNumSlots = 2;

    [[nodiscard]] const float* f32() const { return x_; }
    [[nodiscard]] int64_t num_tokens() const { return num_tokens_; }
    [[nodiscard]] int64_t in_features() const { return in_features_; }
    /// Rounded to nearest even, in parallel at the first call.
    const uint16_t* bf16();
    /// Memory for `count` results on their way to y; its contents last until the next call.
    float* results(int64_t count) { return buffers_.floats(kResults, count); }

private:
    enum Slot : size_t { kRounded, kResults };

    const float* x_;
    int64_t num_tokens_;
    int64_t in_features_;
    Scratch& buffers_;
    const uint16_t* rounded_ = nullptr;
};

/// A linear layer y = x Wᵀ + b. What its weights are stored as is its own affair: dense today,
/// quantized formats are further implementations. Immutable and thread-safe.
class Linear {
public:
    virtual ~Linear() = default;

    [[nodiscard]] virtual int64_t in_features() const = 0;
    [[nodiscard]] virtual int64_t out_features() const = 0;
    /// Bytes of weights that one token's forward reads.
    [[nodiscard]] virtual int64_t weight_bytes() const = 0;

    /// y [num_tokens, out_features] f32, rows without gaps. Sums are in f32. Uses all threads.
    virtual void forward(LinearInput& x, float* y) const = 0;
    void forward(const float* x, int64_t num_tokens, float* y) const;

    /// The layer in pieces for the few tokens of a decode step, where reading weights is the limit:
    /// each block of output features belongs to one thread. x [num_tokens, in_features].
    [[nodiscard]] virtual int64_t num_blocks() const = 0;
    virtual void forward_block(int64_t block, const float* x, int64_t num_tokens,
                               float* y) const = 0;

    /// W [out_features, in_features] and b [out_features] (empty: none) in f32, for calibration and
    /// folding.
    [[nodiscard]] virtual Tensor weight_f32() const = 0;
    [[nodiscard]] virtual std::vector<float> bias() const = 0;
};

/// One layer of several that share their input, and where its results go.
struct LinearCall {
    const Linear* layer;
    float* y;
};
/// All layers of x: for few tokens in one parallel pass, so that small layers do not wait for each
/// other.
void forward_all(LinearInput& x, std::span<const LinearCall> calls);

/// A linear layer with f32 or bf16 weights. `weight` [out, in] is used where it lies when both its
/// dtype and `dtype` are f32 (its memory must outlive the layer); bf16 weights are packed as the
/// kernels read them (see kPackedRows). `bias` is empty or has `out` elements.
std::unique_ptr<Linear> make_dense_linear(const TensorView& weight, std::vector<float> bias,
                                          DType dtype);
/// The same of a weight that the layer is to own (f32 or bf16).
std::unique_ptr<Linear> make_dense_linear(Tensor weight, std::vector<float> bias);

}  // namespace lowkey
