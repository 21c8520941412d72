#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kvcache/plan.h"
#include "tensor/tensor.h"

namespace lowkey {

/// y [rows, out] += x [rows, in] · M [in, out], by the kernel of weighted sums: rows of M are its
/// tokens. Much faster for the few queries of a KV head than a dot product for each number of y.
class RowProduct {
public:
    /// M stays where it is and must outlive this.
    RowProduct(const float* matrix, int64_t in, int64_t out);
    void add(const float* x, int64_t rows, float* y) const { add(x, in_, rows, y); }
    /// Rows of x are `x_stride` apart.
    void add(const float* x, int64_t x_stride, int64_t rows, float* y) const;

private:
    [[nodiscard]] int64_t whole() const;

    const float* matrix_;
    int64_t in_;
    int64_t out_;
    std::vector<float> last_rows_;  // [16, out], zeros behind those there are
};

/// The map `linear`: x as rank coordinates c = (x - mean) · encode, standing for c · decode + mean.
/// Tensors: `encode` [dim, rank], `decode` [rank, dim], and if there is a mean, `mean` [1, dim].
class LinearMap {
public:
    /// `round_decode`: decode's numbers are those that bf16 holds. Throws UsageError for tensors
    /// that are missing or of another shape; `where` names the vector.
    LinearMap(const CodecPart& part, int64_t dim, const std::string& where,
              bool round_decode = false);

    [[nodiscard]] int64_t dim() const { return dim_; }
    [[nodiscard]] int64_t rank() const { return rank_; }
    [[nodiscard]] const std::shared_ptr<const Tensor>& encode() const { return encode_; }
    [[nodiscard]] const std::shared_ptr<const Tensor>& decode() const { return decode_; }
    /// [dim, rank], row-major.
    [[nodiscard]] const std::vector<float>& decode_rows() const { return decode_rows_; }
    [[nodiscard]] bool has_mean() const { return !mean_.empty(); }
    /// [dim]; empty: zeros.
    [[nodiscard]] const std::vector<float>& mean() const { return mean_; }

    /// Rows [rows, dim] (`stride` apart) → coordinates [rows, rank].
    void to_coords(const float* x, int64_t stride, int64_t rows, float* coords) const;
    /// coords [rank] → x [dim].
    void from_coords(const float* coords, float* x) const;
    /// out [rows, dim] += coords [rows, rank] · decode, and the mean times each row's weight.
    void add_decoded(const float* coords, const float* weights, int64_t rows, float* out) const;

private:
    int64_t dim_;
    std::shared_ptr<const Tensor> encode_;
    int64_t rank_;
    std::shared_ptr<const Tensor> decode_;
    std::vector<float> decode_rows_;
    std::vector<float> mean_;
    std::vector<float> mean_coords_;  // mean · encode
    RowProduct encode_product_;
    RowProduct decode_product_;
};

}  // namespace lowkey
