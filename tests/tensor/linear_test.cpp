#include "tensor/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/kernels.h"
#include "tensor/matmul.h"

namespace lowkey {
namespace {

Tensor random_weight(int64_t out, int64_t in, DType dtype) {
    std::mt19937 rng(static_cast<unsigned>(out * 1000 + in));
    std::uniform_real_distribution<float> uniform(-1, 1);
    Tensor weight(DType::kF32, {out, in});
    for (float& x : weight.f32()) x = uniform(rng);
    return Tensor::convert(weight.view(), dtype);
}

/// Largest difference of a layer's results from products in f64, relative to the sum of absolute
/// terms.
double largest_error(const Linear& layer, const std::vector<float>& x, int64_t tokens,
                     const std::vector<float>& y) {
    const Tensor weight = layer.weight_f32();
    const std::vector<float> bias = layer.bias();
    double worst = 0;
    for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t o = 0; o < layer.out_features(); ++o) {
            double want = bias.empty() ? 0 : bias[static_cast<size_t>(o)];
            double size = 1;
            for (int64_t i = 0; i < layer.in_features(); ++i) {
                const double term =
                    static_cast<double>(x[static_cast<size_t>(t * layer.in_features() + i)]) *
                    weight.f32()[static_cast<size_t>(o * layer.in_features() + i)];
                want += term;
                size += std::abs(term);
            }
            const double got = y[static_cast<size_t>(t * layer.out_features() + o)];
            worst = std::max(worst, std::abs(got - want) / size);
        }
    }
    return worst;
}

class Linears : public ::testing::TestWithParam<DType> {};

TEST_P(Linears, MultiplyAnyShapeByFewAndManyTokens) {
    for (const int64_t out : {1, 63, 64, 130}) {
        for (const int64_t in : {1, 31, 32, 65}) {
            std::vector<float> bias(static_cast<size_t>(out), 0.5f);
            const Tensor weight = random_weight(out, in, GetParam());
            const auto layer = make_dense_linear(weight.view(), bias, GetParam());
            EXPECT_EQ(layer->bias(), bias);
            EXPECT_GE(layer->weight_bytes(), weight.bytes());
            const Tensor kept = layer->weight_f32();
            const Tensor wanted = Tensor::convert(weight.view(), DType::kF32);
            EXPECT_TRUE(std::equal(kept.f32().begin(), kept.f32().end(), wanted.f32().begin()));
            for (const int64_t tokens : {1, 2, 3, 20}) {
                std::mt19937 rng(7);
                std::uniform_real_distribution<float> uniform(-1, 1);
                std::vector<float> x(static_cast<size_t>(tokens * in));
                for (float& v : x) v = uniform(rng);
                std::vector<float> y(static_cast<size_t>(tokens * out + 1), 77);
                layer->forward(x.data(), tokens, y.data());
                // Many tokens may be rounded to bf16.
                const double tolerance = GetParam() == DType::kBF16 && tokens > 2 ? 0x1p-9 : 1e-6;
                ASSERT_LT(largest_error(*layer, x, tokens, y), tolerance)
                    << out << " x " << in << ", " << tokens << " tokens";
                ASSERT_EQ(y.back(), 77) << "written past the end";
            }
        }
    }
}

TEST_P(Linears, GiveTheSameOnAnyNumberOfThreads) {
    // More tokens and outputs than a part has, whole parts of neither.
    const int64_t out = MatmulPart::kOut + 70;
    const int64_t tokens = MatmulPart::kTokens + 5;
    constexpr int64_t kIn = 45;
    const Tensor weight = random_weight(out, kIn, GetParam());
    const auto layer = make_dense_linear(
        weight.view(), std::vector<float>(static_cast<size_t>(out), 0.5f), GetParam());
    std::vector<float> x(static_cast<size_t>(tokens * kIn));
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
    const int before = num_threads();
    std::vector<float> want;
    for (const int threads : {1, 2, 3}) {
        set_num_threads(threads);
        std::vector<float> y(static_cast<size_t>(tokens * out), NAN);
        layer->forward(x.data(), tokens, y.data());
        if (threads == 1) want = y;
        EXPECT_EQ(y, want) << threads << " threads";
        EXPECT_LT(largest_error(*layer, x, tokens, y), GetParam() == DType::kBF16 ? 0x1p-9 : 1e-6);
    }
    set_num_threads(before);
}

TEST_P(Linears, OfOneInputRunTogether) {
    const Tensor a = random_weight(70, 40, GetParam());
    const Tensor b = random_weight(5, 40, GetParam());
    const auto first = make_dense_linear(a.view(), {}, GetParam());
    const auto second = make_dense_linear(b.view(), std::vector<float>(5, 1.0f), GetParam());
    for (const int64_t tokens : {0, 1, 2, 9}) {
        std::vector<float> x(static_cast<size_t>(tokens * 40), 0.25f);
        std::vector<float> together(static_cast<size_t>(tokens * 70));
        std::vector<float> also(static_cast<size_t>(tokens * 5));
        Scratch buffers;
        LinearInput input(x.data(), tokens, 40, buffers);
        const LinearCall calls[] = {{first.get(), together.data()}, {second.get(), also.data()}};
        forward_all(input, calls);
        std::vector<float> alone(together.size());
        first->forward(x.data(), tokens, alone.data());
        EXPECT_EQ(together, alone);
        alone.resize(also.size());
        second->forward(x.data(), tokens, alone.data());
        EXPECT_EQ(also, alone);
    }
}

INSTANTIATE_TEST_SUITE_P(EveryDtype, Linears, ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& test) { return std::string(dtype_name(test.param)); });

}  // namespace
}  // namespace lowkey
