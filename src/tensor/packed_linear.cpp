#include "tensor/packed_linear.h"

#include <algorithm>
#include <utility>

#include "base/parallel.h"
#include "kernels/kernels.h"
#include "tensor/matmul.h"

namespace lowkey {
namespace {

// f32 elements of weights that are converted at a time where products of bf16 are slow: they stay
// in the L2 cache.
constexpr int64_t kConvertElements = 1 << 19;

// Rows that are packed side by side: as many streams as caches follow.
constexpr int64_t kPackedTogether = 8;

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

class PackedLinear final : public Linear {
public:
    PackedLinear(const TensorView& weight, std::vector<float> bias)
        : out_(weight.dim(0)),
          in_(weight.dim(1)),
          packed_(DType::kBF16, {num_blocks(), round_up(in_, kPackedCols) / 2, kPackedRows, 2}),
          bias_(std::move(bias)) {
        parallel_for(num_blocks(), [&](int64_t block) { pack(weight, block); });
    }

    [[nodiscard]] int64_t in_features() const override { return in_; }
    [[nodiscard]] int64_t out_features() const override { return out_; }
    [[nodiscard]] int64_t weight_bytes() const override { return packed_.bytes(); }
    [[nodiscard]] std::vector<float> bias() const override { return bias_; }

    [[nodiscard]] Tensor weight_f32() const override {
        Tensor weight(DType::kF32, {out_, in_});
        parallel_for(out_, [&](int64_t row) {
            const BF16* from = packed_block(row / kPackedRows) + 2 * (row % kPackedRows);
            float* to = weight.f32().data() + row * in_;
            for (int64_t c = 0; c < in_; ++c) to[c] = to_f32(from[c / 2 * 2 * kPackedRows + c % 2]);
        });
        return weight;
    }

    void forward(LinearInput& x, float* y) const override {
        if (kernels().rounds_from_rows == 0) {
            forward_converted(x, y);
            return;
        }
        const uint16_t* rounded = x.bf16();
        constexpr int64_t kResults = MatmulPart::kTokens * MatmulPart::kOut;
        float* results = x.results(kResults * num_threads());
        for_each_part(x.num_tokens(), out_, [&](const MatmulPart& part, int thread) {
            float* own = results + kResults * thread;
            matmul({.x = rounded + part.first_token * in_,
                    .w = packed_block(part.first_out / kPackedRows),
                    .dtype = DType::kBF16,
                    .layout = WeightLayout::kPacked,
                    .tokens = part.num_tokens,
                    .out = part.num_out,
                    .in = in_,
                    .bias = bias_of(part.first_out),
                    .y = own,
                    .y_stride = part.num_out});
            float* to = y + part.first_token * out_ + part.first_out;
            for (int64_t t = 0; t < part.num_tokens; ++t)
                std::copy_n(own + t * part.num_out, part.num_out, to + t * out_);
        });
    }

    [[nodiscard]] int64_t num_blocks() const override {
        return round_up(out_, kPackedRows) / kPackedRows;
    }
    void forward_block(int64_t block, const float* x, int64_t num_tokens, float* y) const override {
        const int64_t row = block * kPackedRows;
        const int64_t rows = std::min<int64_t>(kPackedRows, out_ - row);
        for (int64_t t = 0; t < num_tokens; ++t) {
            float sums[kPackedRows];
            kernels().gemv_packed_bf16(reinterpret_cast<const uint16_t*>(packed_block(block)), 1, 0,
                                       in_, x + t * in_, sums);
            float* to = y + t * out_ + row;
            for (int64_t r = 0; r < rows; ++r)
                to[r] = sums[r] + (bias_.empty() ? 0.0f : bias_[static_cast<size_t>(row + r)]);
        }
    }

private:
    [[nodiscard]] int64_t block_elements() const {
        return round_up(in_, kPackedCols) * kPackedRows;
    }
    [[nodiscard]] const BF16* packed_block(int64_t block) const {
        return packed_.as<BF16>().data() + block * block_elements();
    }

    void pack(const TensorView& weight, int64_t block) {
        BF16* to = packed_.as<BF16>().data() + block * block_elements();
        const int64_t first = block * kPackedRows;
        const int64_t rows = std::min<int64_t>(kPackedRows, out_ - first);
        if (rows < kPackedRows || in_ % kPackedCols != 0)
            std::fill(to, to + block_elements(), BF16{});
        TensorView part = weight;
        part.shape = {std::min(rows, kPackedTogether), in_};
        for (int64_t r = 0; r < rows; r += kPackedTogether) {
            part.shape[0] = std::min(kPackedTogether, rows - r);
            part.data = weight.data + (first + r) * in_ * dtype_bytes(weight.dtype);
            const Tensor converted =
                part.dtype == DType::kBF16 ? Tensor() : Tensor::convert(part, DType::kBF16);
            const BF16* from = converted.empty() ? reinterpret_cast<const BF16*>(part.data)
                                                 : converted.as<BF16>().data();
            for (int64_t c = 0; c < in_; ++c) {
                BF16* column = to + (c / 2 * kPackedRows + r) * 2 + c % 2;
                for (int64_t i = 0; i < part.dim(0); ++i) column[2 * i] = from[i * in_ + c];
            }
        }
    }

    /// Products in f32: each part widens its blocks of weights, a few at a time.
    void forward_converted(LinearInput& x, float* y) const {
        for_each_part(x.num_tokens(), out_, [&](const MatmulPart& part, int) {
            const int64_t blocks =
                std::clamp<int64_t>(kConvertElements / (in_ * kPackedRows), 1,
                                    round_up(part.num_out, kPackedRows) / kPackedRows);
            Tensor wide(DType::kF32, {in_, blocks * kPackedRows});
            for (int64_t done = 0; done < part.num_out; done += blocks * kPackedRows) {
                const int64_t first = part.first_out + done;
                const int64_t count = std::min(blocks * kPackedRows, part.num_out - done);
                widen(first, count, wide.f32().data());
                matmul({.x = x.f32() + part.first_token * in_,
                        .w = wide.data(),
                        .dtype = DType::kF32,
                        .layout = WeightLayout::kColumns,
                        .tokens = part.num_tokens,
                        .out = count,
                        .in = in_,
                        .bias = bias_of(first),
                        .y = y + part.first_token * out_ + first,
                        .y_stride = out_});
            }
        });
    }

    /// Outputs [first, first + count) as columns: to [in, count].
    void widen(int64_t first, int64_t count, float* to) const {
        for (int64_t pair = 0; pair < (in_ + 1) / 2; ++pair) {
            float* row = to + 2 * pair * count;
            for (int64_t r = 0; r < count; ++r) {
                const BF16* from = packed_block((first + r) / kPackedRows) +
                                   2 * (pair * kPackedRows + r % kPackedRows);
                row[r] = to_f32(from[0]);
                if (2 * pair + 1 < in_) row[count + r] = to_f32(from[1]);
            }
        }
    }

    [[nodiscard]] const float* bias_of(int64_t first) const {
        return bias_.empty() ? nullptr : bias_.data() + first;
    }

    int64_t out_;
    int64_t in_;
    Tensor packed_;  // [blocks, padded in / 2, 64, 2]
    std::vector<float> bias_;
};

}  // namespace

std::unique_ptr<Linear> make_packed_linear(const TensorView& weight, std::vector<float> bias) {
    return std::make_unique<PackedLinear>(weight, std::move(bias));
}

}  // namespace lowkey
