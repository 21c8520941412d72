#include "kvcache/linear_map.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "kernels/kernels.h"
#include "kvcache/stores.h"

namespace lowkey {
namespace {

std::vector<float> transposed(const Tensor& matrix) {
    const int64_t rows = matrix.dim(0);
    const int64_t cols = matrix.dim(1);
    std::vector<float> out(static_cast<size_t>(rows * cols));
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
            out[static_cast<size_t>(c * rows + r)] =
                matrix.f32()[static_cast<size_t>(r * cols + c)];
        }
    }
    return out;
}

std::shared_ptr<const Tensor> rounded(std::shared_ptr<const Tensor> map, bool round) {
    if (!round) return map;
    const Tensor small = Tensor::convert(map->view(), DType::kBF16);
    return std::make_shared<const Tensor>(Tensor::convert(small.view(), DType::kF32));
}

}  // namespace

RowProduct::RowProduct(const float* matrix, int64_t in, int64_t out)
    : matrix_(matrix), in_(in), out_(out) {
    if (in % kTileTokens == 0) return;
    last_rows_.resize(static_cast<size_t>(kTileTokens * out));
    std::copy_n(matrix + whole() * out, (in - whole()) * out, last_rows_.begin());
}

int64_t RowProduct::whole() const { return in_ / kTileTokens * kTileTokens; }

void RowProduct::add(const float* x, int64_t x_stride, int64_t rows, float* y) const {
    constexpr int64_t kRows = 8;
    kernels().sum_f32(x, x_stride, rows, out_, {matrix_, whole() / kTileTokens}, y, out_);
    if (last_rows_.empty()) return;
    // What is no whole tile, followed by zeros.
    for (int64_t r = 0; r < rows; r += kRows) {
        const int64_t count = std::min(kRows, rows - r);
        std::array<float, kRows * kTileTokens> last{};
        for (int64_t i = 0; i < count; ++i)
            std::copy_n(x + (r + i) * x_stride + whole(), in_ - whole(),
                        last.begin() + i * kTileTokens);
        kernels().sum_f32(last.data(), kTileTokens, count, out_, {last_rows_.data(), 1},
                          y + r * out_, out_);
    }
}

LinearMap::LinearMap(const CodecPart& part, int64_t dim, const std::string& where,
                     bool round_decode)
    : dim_(dim),
      encode_(part_tensor(part, "encode", {dim, -1}, where)),
      rank_(encode_->dim(1)),
      decode_(rounded(part_tensor(part, "decode", {rank_, dim}, where), round_decode)),
      decode_rows_(transposed(*decode_)),
      encode_product_(encode_->f32().data(), dim, rank_),
      decode_product_(decode_->f32().data(), rank_, dim) {
    if (rank_ < 1 || rank_ > dim) {
        throw UsageError("map '" + part.name + "' of rank " + std::to_string(rank_), where,
                         "use 1 to " + std::to_string(dim));
    }
    if (part.tensors.count("mean") == 0) return;
    const auto mean = part_tensor(part, "mean", {1, dim}, where);
    mean_.assign(mean->f32().begin(), mean->f32().end());
    mean_coords_.assign(static_cast<size_t>(rank_), 0.0f);
    encode_product_.add(mean_.data(), 1, mean_coords_.data());
}

void LinearMap::to_coords(const float* x, int64_t stride, int64_t rows, float* coords) const {
    std::fill_n(coords, rows * rank_, 0.0f);
    encode_product_.add(x, stride, rows, coords);
    if (!has_mean()) return;
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < rank_; ++i)
            coords[r * rank_ + i] -= mean_coords_[static_cast<size_t>(i)];
    }
}

void LinearMap::from_coords(const float* coords, float* x) const {
    if (has_mean()) {
        std::copy(mean_.begin(), mean_.end(), x);
    } else {
        std::fill_n(x, dim_, 0.0f);
    }
    decode_product_.add(coords, 1, x);
}

void LinearMap::add_decoded(const float* coords, const float* weights, int64_t rows,
                            float* out) const {
    decode_product_.add(coords, rows, out);
    if (!has_mean()) return;
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < dim_; ++i)
            out[r * dim_ + i] += weights[r] * mean_[static_cast<size_t>(i)];
    }
}

}  // namespace lowkey
