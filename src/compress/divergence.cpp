#include "compress/divergence.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/parallel.h"
#include "tensor/ops.h"

namespace lowkey {

double kl_divergence(std::span<const float> log_p, std::span<const float> q) {
    const double normalizer = log_sum_exp(q);
    double sum = 0;
    for (size_t i = 0; i < q.size(); ++i) {
        const double lp = log_p[i];
        if (lp < -30)
            continue;  // e-30 times any difference of logits is below what f32 logits resolve
        sum += std::exp(lp) * (lp - (q[i] - normalizer));
    }
    return std::max(0.0, sum);
}

template <typename Fn>
void ReferenceDistributions::for_rows(const Tensor& hidden, Fn&& fn) const {
    constexpr int64_t kBlock = 128;  // rows of logits held at a time
    const int64_t size = model_.config().hidden_size;
    const int64_t vocab = model_.config().vocab_size;
    const int64_t rows = (hidden.dim(0) + stride_ - 1) / stride_;
    Tensor chosen(DType::kF32, {kBlock, size});
    Tensor logits(DType::kF32, {kBlock, vocab});
    for (int64_t begin = 0; begin < rows; begin += kBlock) {
        const int64_t count = std::min(kBlock, rows - begin);
        for (int64_t r = 0; r < count; ++r) {
            std::memcpy(chosen.f32().data() + r * size,
                        hidden.f32().data() + (begin + r) * stride_ * size,
                        static_cast<size_t>(size) * sizeof(float));
        }
        model_.logits(chosen.f32().data(), count, logits.f32().data());
        parallel_for(count, [&](int64_t r) {
            fn(begin + r,
               logits.f32().subspan(static_cast<size_t>(r * vocab), static_cast<size_t>(vocab)));
        });
    }
}

ReferenceDistributions::ReferenceDistributions(const Model& model, const Tensor& hidden,
                                               int64_t stride)
    : model_(model), stride_(stride) {
    const auto vocab = static_cast<size_t>(model.config().vocab_size);
    const auto rows = static_cast<size_t>((hidden.dim(0) + stride - 1) / stride);
    log_probs_.resize(rows * vocab);
    for_rows(hidden, [&](int64_t row, std::span<const float> logits) {
        const double normalizer = log_sum_exp(logits);
        float* to = log_probs_.data() + static_cast<size_t>(row) * vocab;
        for (size_t i = 0; i < vocab; ++i) to[i] = static_cast<float>(logits[i] - normalizer);
    });
}

double ReferenceDistributions::mean_kl(const Tensor& hidden) const {
    const auto vocab = static_cast<size_t>(model_.config().vocab_size);
    std::vector<double> per_row(log_probs_.size() / vocab);
    for_rows(hidden, [&](int64_t row, std::span<const float> logits) {
        per_row[static_cast<size_t>(row)] = kl_divergence(
            std::span(log_probs_).subspan(static_cast<size_t>(row) * vocab, vocab), logits);
    });
    double sum = 0;
    for (const double kl : per_row) sum += kl;
    return sum / static_cast<double>(per_row.size());
}

}  // namespace lowkey
