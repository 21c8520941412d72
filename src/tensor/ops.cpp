#include "tensor/ops.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/kernels.h"

namespace lowkey {
namespace {

constexpr int64_t kBlock = 1 << 14;

/// fn(begin, end) over [0, n) in blocks, in parallel.
template <typename Fn>
void for_blocks(int64_t n, Fn&& fn) {
    parallel_for((n + kBlock - 1) / kBlock,
                 [&](int64_t block) { fn(block * kBlock, std::min(n, (block + 1) * kBlock)); });
}

float activate(Activation activation, float x) {
    switch (activation) {
        case Activation::kSilu:
            return x / (1 + std::exp(-x));
        case Activation::kRelu:
            return x > 0 ? x : 0;
        case Activation::kGelu:
            return 0.5f * x * (1 + std::erf(x * std::numbers::sqrt2_v<float> / 2));
        case Activation::kGeluTanh: {
            constexpr float kSqrt2OverPi = 0.7978845608028654f;
            return 0.5f * x * (1 + std::tanh(kSqrt2OverPi * (x + 0.044715f * x * x * x)));
        }
    }
    return x;
}

}  // namespace

void Norm::forward(const float* x, int64_t num_tokens, float* y) const {
    const size_t n = weight.size();
    parallel_for(num_tokens, [&](int64_t t) {
        const float* from = x + static_cast<size_t>(t) * n;
        float* to = y + static_cast<size_t>(t) * n;
        const auto count = static_cast<int64_t>(n);
        const double mean =
            kind == Kind::kLayer ? kernels().sum(from, count) / static_cast<double>(n) : 0;
        const double square = kernels().sum_squares(from, count, mean);
        const auto inverse =
            static_cast<float>(1 / std::sqrt(square / static_cast<double>(n) + eps));
        const auto center = static_cast<float>(mean);
        for (size_t i = 0; i < n; ++i) {
            to[i] = (from[i] - center) * inverse * weight[i] + (bias.empty() ? 0.0f : bias[i]);
        }
    });
}

void apply_activation(Activation activation, std::span<float> x) {
    for_blocks(static_cast<int64_t>(x.size()), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            x[static_cast<size_t>(i)] = activate(activation, x[static_cast<size_t>(i)]);
        }
    });
}

void apply_gated_activation(Activation activation, std::span<float> gate,
                            std::span<const float> up) {
    LOWKEY_CHECK(gate.size() == up.size());
    for_blocks(static_cast<int64_t>(gate.size()), [&](int64_t begin, int64_t end) {
        if (activation == Activation::kSilu) {
            kernels().silu_mul(gate.data() + begin, up.data() + begin, end - begin);
            return;
        }
        for (int64_t i = begin; i < end; ++i) {
            const auto at = static_cast<size_t>(i);
            gate[at] = activate(activation, gate[at]) * up[at];
        }
    });
}

void apply_softcap(std::span<float> x, float softcap) {
    for_blocks(static_cast<int64_t>(x.size()), [&](int64_t begin, int64_t end) {
        kernels().softcap(x.data() + begin, end - begin, softcap);
    });
}

void clip(std::span<float> x, float limit) {
    for (float& v : x) v = std::clamp(v, -limit, limit);
}

void add(std::span<float> y, std::span<const float> x) {
    LOWKEY_CHECK(y.size() == x.size());
    for_blocks(static_cast<int64_t>(y.size()), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            y[static_cast<size_t>(i)] += x[static_cast<size_t>(i)];
    });
}

double kl_divergence(std::span<const float> p, double p_log_sum_exp, std::span<const float> q) {
    constexpr double kNegligible =
        -30;  // e^-30 times a difference of logits is below what f32 logits resolve
    const double q_log_sum_exp = log_sum_exp(q);
    double sum = 0;
    for (size_t i = 0; i < p.size(); ++i) {
        const double log_p = p[i] - p_log_sum_exp;
        if (log_p >= kNegligible) sum += std::exp(log_p) * (log_p - (q[i] - q_log_sum_exp));
    }
    return std::max(0.0, sum);
}

double log_sum_exp(std::span<const float> x) {
    const float top = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (const float v : x) sum += std::exp(static_cast<double>(v) - top);
    return top + std::log(sum);
}

}  // namespace lowkey
