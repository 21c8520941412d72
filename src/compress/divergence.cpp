#include "compress/divergence.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/parallel.h"
#include "tensor/ops.h"

namespace lowkey {
namespace {

constexpr int64_t kLogitRows = 128;  // rows of logits held at a time

}  // namespace

double mean_nll(const Model& model, const Tensor& hidden,
                const std::vector<std::vector<int32_t>>& sequences) {
    const int64_t size = model.config().hidden_size;
    const int64_t vocab = model.config().vocab_size;
    Tensor logits(DType::kF32, {kLogitRows, vocab});
    std::vector<double> nll;
    int64_t first = 0;
    for (const std::vector<int32_t>& sequence : sequences) {
        const auto targets = static_cast<int64_t>(sequence.size()) - 1;
        for (int64_t t = 0; t < targets; t += kLogitRows) {
            const int64_t count = std::min(kLogitRows, targets - t);
            model.logits(hidden.f32().data() + (first + t) * size, count, logits.f32().data());
            const size_t at = nll.size();
            nll.resize(at + static_cast<size_t>(count));
            parallel_for(count, [&](int64_t r) {
                const auto row = std::as_const(logits).f32().subspan(static_cast<size_t>(r * vocab),
                                                                     static_cast<size_t>(vocab));
                const auto target = static_cast<size_t>(sequence[static_cast<size_t>(t + r + 1)]);
                nll[at + static_cast<size_t>(r)] = log_sum_exp(row) - row[target];
            });
        }
        first += targets + 1;
    }
    double sum = 0;
    for (const double x : nll) sum += x;
    return nll.empty() ? 0 : sum / static_cast<double>(nll.size());
}

template <typename Fn>
void ReferenceDistributions::for_rows(const Tensor& hidden, Fn&& fn) const {
    const int64_t size = model_.config().hidden_size;
    const int64_t vocab = model_.config().vocab_size;
    const int64_t rows = (hidden.dim(0) + stride_ - 1) / stride_;
    Tensor chosen(DType::kF32, {kLogitRows, size});
    Tensor logits(DType::kF32, {kLogitRows, vocab});
    for (int64_t begin = 0; begin < rows; begin += kLogitRows) {
        const int64_t count = std::min(kLogitRows, rows - begin);
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
            std::span(log_probs_).subspan(static_cast<size_t>(row) * vocab, vocab), 0, logits);
    });
    double sum = 0;
    for (const double kl : per_row) sum += kl;
    return sum / static_cast<double>(per_row.size());
}

}  // namespace lowkey
