#include "tensor/gemm.h"

#include <gtest/gtest.h>

#include <vector>

namespace lowkey {
namespace {

std::vector<float> numbers(int64_t count, float seed) {
    std::vector<float> x;
    for (int64_t i = 0; i < count; ++i) x.push_back(static_cast<float>((i * 7 + 3) % 11) - seed);
    return x;
}

TEST(Gemm, MultipliesWithStridesAndTransposes) {
    constexpr int64_t m = 3;
    constexpr int64_t n = 5;
    constexpr int64_t k = 4;
    constexpr int64_t stride = 9;
    const std::vector<float> a = numbers(m * stride, 4);
    const std::vector<float> b = numbers(stride * stride, 2);
    for (const bool transposed : {false, true}) {
        std::vector<float> c(m * stride, -1);
        gemm(m, n, k, 0.5f, {a.data(), stride}, {b.data(), stride, transposed}, c.data(), stride);
        for (int64_t i = 0; i < m; ++i) {
            for (int64_t j = 0; j < n; ++j) {
                float sum = 0;
                for (int64_t x = 0; x < k; ++x) {
                    sum += a[static_cast<size_t>(i * stride + x)] *
                           b[static_cast<size_t>(transposed ? j * stride + x : x * stride + j)];
                }
                EXPECT_FLOAT_EQ(c[static_cast<size_t>(i * stride + j)], sum / 2);
            }
            EXPECT_EQ(c[static_cast<size_t>(i * stride + n)], -1) << "beyond the row";
        }
    }
}

}  // namespace
}  // namespace lowkey
