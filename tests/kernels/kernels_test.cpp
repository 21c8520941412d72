#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace lowkey {
namespace {

// Every kernel of every instruction set that runs here, against plain f64 code ("twins"). A dot
// product of n terms in f32 errs by at most about n · 2^-24 of the sum of absolute terms; with
// terms below 1 the tests allow n · 2^-23.
double tolerance(int64_t n) { return static_cast<double>(n + 8) * 0x1p-23; }

std::vector<float> random_floats(int64_t n, unsigned seed) {
    std::mt19937 rng(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> x(static_cast<size_t>(n));
    for (float& v : x) v = uniform(rng);
    return x;
}

uint16_t bf16_bits(float x) {
    const auto bits = std::bit_cast<uint32_t>(x);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
float from_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
float round_bf16(float x) { return from_bf16(bf16_bits(x)); }
/// A row's element as a table's products of bf16 take it when there are so many rows.
float rounded(const KernelTable& table, int64_t rows, float x) {
    return table.rounds_from_rows > 0 && rows >= table.rounds_from_rows ? round_bf16(x) : x;
}

/// Key [token, dim] -> tiles as kernels.h describes them.
std::vector<uint16_t> key_tiles_bf16(const std::vector<float>& keys, int64_t tiles, int64_t dim) {
    std::vector<uint16_t> out(static_cast<size_t>(tiles * 16 * dim));
    for (int64_t tile = 0; tile < tiles; ++tile) {
        for (int64_t t = 0; t < 16; ++t) {
            for (int64_t i = 0; i < dim; ++i) {
                const int64_t at =
                    i == dim - 1 && dim % 2 != 0 ? i * 16 + t : (i / 2) * 32 + t * 2 + i % 2;
                out[static_cast<size_t>(tile * 16 * dim + at)] =
                    bf16_bits(keys[static_cast<size_t>((tile * 16 + t) * dim + i)]);
            }
        }
    }
    return out;
}

std::vector<float> key_tiles_f32(const std::vector<float>& keys, int64_t tiles, int64_t dim) {
    std::vector<float> out(keys.size());
    for (int64_t tile = 0; tile < tiles; ++tile) {
        for (int64_t t = 0; t < 16; ++t) {
            for (int64_t i = 0; i < dim; ++i) {
                out[static_cast<size_t>(tile * 16 * dim + i * 16 + t)] =
                    keys[static_cast<size_t>((tile * 16 + t) * dim + i)];
            }
        }
    }
    return out;
}

class Kernels : public ::testing::TestWithParam<const KernelTable*> {};

TEST_P(Kernels, GemvIsTheDotProductOfEachRow) {
    for (const int64_t cols : {1, 2, 15, 16, 17, 31, 64, 100, 896}) {
        for (const int64_t rows : {1, 3, 4, 5, 9}) {
            const auto w = random_floats(rows * cols, 1);
            const auto x = random_floats(cols, 2);
            std::vector<float> y(static_cast<size_t>(rows));
            GetParam()->gemv_f32(w.data(), rows, cols, x.data(), y.data());
            for (int64_t r = 0; r < rows; ++r) {
                double want = 0;
                for (int64_t c = 0; c < cols; ++c) {
                    want += static_cast<double>(w[static_cast<size_t>(r * cols + c)]) *
                            x[static_cast<size_t>(c)];
                }
                EXPECT_NEAR(y[static_cast<size_t>(r)], want, tolerance(cols));
            }
        }
    }
}

TEST_P(Kernels, PackedGemvReadsPairsOfColumns) {
    for (const int64_t cols : {1, 2, 15, 32, 33, 100, 896}) {
        for (const int64_t blocks : {1, 3}) {
            const int64_t padded = (cols + kPackedCols - 1) / kPackedCols * kPackedCols;
            const auto w = random_floats(blocks * kPackedRows * cols, 1);
            const auto x = random_floats(cols, 2);
            // What pads the columns must not count.
            std::vector<uint16_t> packed(static_cast<size_t>(blocks * padded * kPackedRows), 0);
            for (int64_t r = 0; r < blocks * kPackedRows; ++r) {
                for (int64_t c = 0; c < cols; ++c) {
                    const int64_t at = r / kPackedRows * padded * kPackedRows +
                                       (c / 2 * kPackedRows + r % kPackedRows) * 2 + c % 2;
                    packed[static_cast<size_t>(at)] =
                        bf16_bits(w[static_cast<size_t>(r * cols + c)]);
                }
            }
            std::vector<float> y(static_cast<size_t>(blocks * kPackedRows));
            GetParam()->gemv_packed_bf16(packed.data(), blocks, padded * kPackedRows, cols,
                                         x.data(), y.data());
            for (int64_t r = 0; r < blocks * kPackedRows; ++r) {
                double want = 0;
                for (int64_t c = 0; c < cols; ++c) {
                    want += static_cast<double>(round_bf16(w[static_cast<size_t>(r * cols + c)])) *
                            x[static_cast<size_t>(c)];
                }
                ASSERT_NEAR(y[static_cast<size_t>(r)], want, tolerance(cols));
            }
        }
    }
}

TEST_P(Kernels, ScoresAreDotProductsWithEveryKeyOfEveryTile) {
    for (const int64_t dim : {1, 2, 3, 16, 37, 64, 96, 128, 513}) {
        for (const int64_t rows : {1, 2, 5, 7, 8, 9, 19, 32, 45}) {
            for (const int64_t tiles : {1, 2, 3}) {
                const int64_t stride = dim + 3;
                const int64_t out_stride = tiles * 16 + 5;
                const auto q = random_floats(rows * stride, 3);
                const auto keys = random_floats(tiles * 16 * dim, 4);
                std::vector<float> out(static_cast<size_t>(rows * out_stride), 77), out_b(out);
                GetParam()->score_f32(q.data(), stride, rows, dim,
                                      {key_tiles_f32(keys, tiles, dim).data(), tiles}, out.data(),
                                      out_stride);
                GetParam()->score_bf16(q.data(), stride, rows, dim,
                                       {key_tiles_bf16(keys, tiles, dim).data(), tiles},
                                       out_b.data(), out_stride);
                for (int64_t r = 0; r < rows; ++r) {
                    for (int64_t t = 0; t < tiles * 16; ++t) {
                        double want = 0, want_b = 0;
                        for (int64_t i = 0; i < dim; ++i) {
                            const float a = q[static_cast<size_t>(r * stride + i)];
                            const float k = keys[static_cast<size_t>(t * dim + i)];
                            const float a_b = dim > 512 ? a : rounded(*GetParam(), rows, a);
                            want += static_cast<double>(a) * k;
                            want_b += static_cast<double>(a_b) * round_bf16(k);
                        }
                        ASSERT_NEAR(out[static_cast<size_t>(r * out_stride + t)], want,
                                    tolerance(dim));
                        ASSERT_NEAR(out_b[static_cast<size_t>(r * out_stride + t)], want_b,
                                    tolerance(dim));
                    }
                    ASSERT_EQ(out[static_cast<size_t>(r * out_stride + tiles * 16)], 77)
                        << "written past the tiles";
                }
            }
        }
    }
}

TEST_P(Kernels, SumsWeighEveryValueOfEveryTile) {
    for (const int64_t dim : {1, 3, 4, 6, 8, 12, 15, 16, 17, 21, 24, 37, 43, 64, 100, 128}) {
        for (const int64_t rows : {1, 2, 4, 7, 9, 19, 33}) {
            for (const int64_t tiles : {1, 2, 3, 21}) {
                const int64_t tokens = tiles * 16;
                const auto p = random_floats(rows * tokens, 5);
                const auto values = random_floats(tokens * dim, 6);
                std::vector<uint16_t> pairs(static_cast<size_t>(tokens * dim));
                for (int64_t t = 0; t < tokens; ++t) {
                    for (int64_t c = 0; c < dim; ++c) {
                        pairs[static_cast<size_t>(((t / 2) * dim + c) * 2 + t % 2)] =
                            bf16_bits(values[static_cast<size_t>(t * dim + c)]);
                    }
                }
                std::vector<float> acc(static_cast<size_t>(rows * dim), 0.5f), acc_b(acc);
                GetParam()->sum_f32(p.data(), tokens, rows, dim, {values.data(), tiles}, acc.data(),
                                    dim);
                GetParam()->sum_bf16(p.data(), tokens, rows, dim, {pairs.data(), tiles},
                                     acc_b.data(), dim);
                for (int64_t r = 0; r < rows; ++r) {
                    for (int64_t c = 0; c < dim; ++c) {
                        double want = 0.5, want_b = 0.5;
                        for (int64_t t = 0; t < tokens; ++t) {
                            const float weight = p[static_cast<size_t>(r * tokens + t)];
                            const float value = values[static_cast<size_t>(t * dim + c)];
                            want += static_cast<double>(weight) * value;
                            want_b += static_cast<double>(rounded(*GetParam(), rows, weight)) *
                                      round_bf16(value);
                        }
                        ASSERT_NEAR(acc[static_cast<size_t>(r * dim + c)], want, tolerance(tokens));
                        ASSERT_NEAR(acc_b[static_cast<size_t>(r * dim + c)], want_b,
                                    tolerance(tokens));
                    }
                }
            }
        }
    }
}

TEST_P(Kernels, WhatIsReadSoonChangesNothing) {
    constexpr int64_t kDim = 21, kTiles = 5, kTokens = kTiles * 16;
    const auto keys = key_tiles_bf16(random_floats(kTokens * kDim, 41), kTiles, kDim);
    const std::vector<uint16_t> soon(2 * keys.size());
    const auto key_bytes = static_cast<int64_t>(2 * keys.size());
    for (const int64_t rows : {1, 7}) {
        const auto x = random_floats(rows * kTokens, 40);
        const auto scores = [&](SoonRead ahead) {
            std::vector<float> out(static_cast<size_t>(rows * kTokens));
            GetParam()->score_bf16(x.data(), kDim, rows, kDim, {keys.data(), kTiles, ahead},
                                   out.data(), kTokens);
            return out;
        };
        const auto sums = [&](SoonRead ahead) {
            std::vector<float> out(static_cast<size_t>(rows * kDim), 0);
            GetParam()->sum_bf16(x.data(), kTokens, rows, kDim, {keys.data(), kTiles, ahead},
                                 out.data(), kDim);
            return out;
        };
        for (const int64_t bytes : {int64_t{1}, key_bytes / 3, key_bytes, 2 * key_bytes}) {
            EXPECT_EQ(scores({}), scores({soon.data(), bytes}));
            EXPECT_EQ(sums({}), sums({soon.data(), bytes}));
        }
    }
}

TEST_P(Kernels, ExpIsAccurateAndMaskedEntriesVanish) {
    for (const int64_t n : {1, 5, 16, 33, 1000}) {
        std::vector<float> x(static_cast<size_t>(n));
        for (int64_t i = 0; i < n; ++i)
            x[static_cast<size_t>(i)] = -static_cast<float>(i) * 0.0917f;
        auto y = x;
        const float sum = GetParam()->exp_sum(y.data(), n, 0.25f);
        double want_sum = 0;
        for (int64_t i = 0; i < n; ++i) {
            const double shifted = static_cast<double>(x[static_cast<size_t>(i)] - 0.25f);
            const double want = shifted < -87 ? 0 : std::exp(shifted);
            want_sum += want;
            EXPECT_NEAR(y[static_cast<size_t>(i)], want, 3e-7 * want);
        }
        EXPECT_NEAR(sum, want_sum, 1e-5 * want_sum);
    }
    // As exact as kernels.h promises, all over the range.
    std::vector<float> dense;
    for (int i = 0; i < 87000; ++i) dense.push_back(-static_cast<float>(i) / 1000);
    auto exps = dense;
    GetParam()->exp_sum(exps.data(), std::ssize(exps), 0);
    for (size_t i = 0; i < dense.size(); ++i) {
        const double want = std::exp(static_cast<double>(dense[i]));
        ASSERT_NEAR(exps[i], want, 2e-7 * want) << dense[i];
    }
    std::vector<float> special = {-std::numeric_limits<float>::infinity(), 0,
                                  std::numeric_limits<float>::quiet_NaN()};
    GetParam()->exp_sum(special.data(), 3, 0);
    EXPECT_EQ(special[0], 0);
    EXPECT_EQ(special[1], 1);
    EXPECT_TRUE(std::isnan(special[2]));
}

TEST_P(Kernels, OnlineSoftmaxOfPartsIsSoftmaxOfAll) {
    constexpr int64_t kRows = 3, kDim = 5, kStride = 40;
    for (const int64_t n : {1, 15, 16, 33}) {
        std::vector<float> tops(kRows, -std::numeric_limits<float>::infinity()), sums(kRows, 0);
        std::vector<float> acc(kRows * kDim, 0);
        std::vector<double> want_sum(kRows, 0), all_tops(kRows, -1e30);
        for (const bool weigh : {false, true}) {
            // The first round finds each row's largest score, the second compares with it.
            for (unsigned part = 0; part < 3; ++part) {
                auto scores = random_floats(kRows * kStride, 20 + part);
                for (float& x : scores) x *= 20;
                const auto before = scores;
                if (weigh) {
                    GetParam()->online_softmax(scores.data(), kStride, kRows, n, tops.data(),
                                               sums.data(), acc.data(), kDim, {});
                }
                for (int64_t r = 0; r < kRows; ++r) {
                    const auto row = static_cast<size_t>(r);
                    for (int64_t i = 0; i < n; ++i) {
                        const auto at = static_cast<size_t>(r * kStride + i);
                        if (!weigh) {
                            all_tops[row] = std::max<double>(all_tops[row], before[at]);
                            continue;
                        }
                        want_sum[row] += std::exp(before[at] - all_tops[row]);
                        acc[static_cast<size_t>(r * kDim)] += scores[at];
                    }
                    ASSERT_EQ(scores[static_cast<size_t>(r * kStride + n)],
                              before[static_cast<size_t>(r * kStride + n)]);
                }
            }
        }
        for (size_t r = 0; r < kRows; ++r) {
            EXPECT_EQ(tops[r], static_cast<float>(all_tops[r]));
            EXPECT_NEAR(sums[r], want_sum[r], 1e-5 * want_sum[r]);
            EXPECT_NEAR(acc[r * kDim], want_sum[r], 1e-5 * want_sum[r]) << "shrinks with the sum";
        }
    }
}

TEST_P(Kernels, MaxAndScaleReachEveryElement) {
    for (const int64_t n : {1, 15, 16, 17, 100}) {
        for (int64_t at = 0; at < n; ++at) {
            std::vector<float> x(static_cast<size_t>(n), -2);
            x[static_cast<size_t>(at)] = -1;
            EXPECT_EQ(GetParam()->max(x.data(), n), -1);
        }
        std::vector<float> x(static_cast<size_t>(n), 3);
        GetParam()->scale(x.data(), n, 0.5f);
        EXPECT_EQ(x, std::vector<float>(static_cast<size_t>(n), 1.5f));
    }
}

TEST_P(Kernels, SumsAreInDouble) {
    for (const int64_t n : {1, 7, 16, 31, 32, 33, 1000}) {
        auto x = random_floats(n, 30);
        x[0] = 1e8f;  // f32 sums would lose the rest
        double sum = 0, squares = 0;
        for (const float v : x) {
            sum += v;
            squares += (v - 0.25) * (v - 0.25);
        }
        EXPECT_NEAR(GetParam()->sum(x.data(), n), sum, 1e-7);
        EXPECT_NEAR(GetParam()->sum_squares(x.data(), n, 0.25), squares,
                    static_cast<double>(n) * 0x1p-52 * squares);
    }
}

TEST_P(Kernels, RampsAndCapsReachEveryElement) {
    for (const int64_t n : {1, 15, 16, 17, 100}) {
        std::vector<float> x(static_cast<size_t>(n));
        for (int64_t i = 0; i < n; ++i)
            x[static_cast<size_t>(i)] = (static_cast<float>(i) - 50) * 3.7f;
        auto ramp = x;
        GetParam()->add_ramp(ramp.data(), n, -8, 0.5f);
        auto capped = x;
        GetParam()->softcap(capped.data(), n, 50);
        for (int64_t i = 0; i < n; ++i) {
            const auto at = static_cast<size_t>(i);
            // Three roundings of numbers below 256.
            EXPECT_NEAR(ramp[at], static_cast<double>(x[at]) - 8 + 0.5 * static_cast<double>(i),
                        3 * 256 * 6e-8);
            EXPECT_NEAR(capped[at], 50 * std::tanh(static_cast<double>(x[at]) / 50), 50 * 2e-7);
        }
    }
    std::vector<float> far = {1e9f, -1e9f};
    GetParam()->softcap(far.data(), 2, 30);
    EXPECT_EQ(far, std::vector<float>({30, -30}));
}

TEST_P(Kernels, RotatesPairsOfATile) {
    for (const bool interleaved : {false, true}) {
        const int64_t pairs = 5;
        auto tile = random_floats(2 * pairs * 16, 7);
        const auto before = tile;
        std::vector<float> cos, sin;
        for (int i = 0; i < pairs * 16; ++i) {
            cos.push_back(std::cos(0.1f * static_cast<float>(i)));
            sin.push_back(std::sin(0.1f * static_cast<float>(i)));
        }
        const int64_t step = interleaved ? 2 : 1;
        const int64_t offset = interleaved ? 1 : pairs;
        GetParam()->rotate_tile(tile.data(), pairs, step, offset, cos.data(), sin.data());
        for (int64_t j = 0; j < pairs; ++j) {
            for (int64_t t = 0; t < 16; ++t) {
                const auto a = static_cast<size_t>(j * step * 16 + t);
                const auto b = static_cast<size_t>((j * step + offset) * 16 + t);
                const auto c = static_cast<size_t>(j * 16 + t);
                EXPECT_NEAR(tile[a], before[a] * cos[c] - before[b] * sin[c], 1e-6);
                EXPECT_NEAR(tile[b], before[b] * cos[c] + before[a] * sin[c], 1e-6);
            }
        }
    }
}

TEST_P(Kernels, SiluMulAndBf16Rounding) {
    for (const int64_t n : {1, 16, 21}) {
        auto gate = random_floats(n, 8);
        gate[0] = -100;
        const auto before = gate;
        const auto up = random_floats(n, 9);
        GetParam()->silu_mul(gate.data(), up.data(), n);
        for (size_t i = 0; i < gate.size(); ++i) {
            const double x = before[i];
            EXPECT_NEAR(gate[i], x / (1 + std::exp(-x)) * up[i], 1e-6);
        }
        std::vector<uint16_t> half(static_cast<size_t>(n));
        GetParam()->to_bf16(before.data(), half.data(), n);
        for (size_t i = 0; i < half.size(); ++i) EXPECT_EQ(half[i], bf16_bits(before[i]));
    }
    const std::vector<float> nan(17, std::bit_cast<float>(0x7f800001u));
    std::vector<uint16_t> half(17);
    GetParam()->to_bf16(nan.data(), half.data(), 17);
    for (const uint16_t bits : half) EXPECT_TRUE(std::isnan(from_bf16(bits)));
}

TEST_P(Kernels, GramSumsOuterProductsInDouble) {
    for (const int64_t dim : {1, 3, 4, 13, 16, 64}) {
        for (const int64_t tokens : {0, 1, 50}) {
            const int64_t stride = dim + 2;
            const auto x = random_floats(tokens * stride, 10);
            std::vector<double> gram(static_cast<size_t>(dim * dim), 1.0);
            GetParam()->gram_f64(x.data(), stride, tokens, dim, gram.data());
            for (int64_t i = 0; i < dim; ++i) {
                for (int64_t j = i; j < dim; ++j) {
                    double want = 1;
                    for (int64_t t = 0; t < tokens; ++t) {
                        want += static_cast<double>(x[static_cast<size_t>(t * stride + i)]) *
                                x[static_cast<size_t>(t * stride + j)];
                    }
                    EXPECT_NEAR(gram[static_cast<size_t>(i * dim + j)], want, 1e-12);
                }
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, Kernels, ::testing::ValuesIn(runnable_kernels()),
                         [](const auto& test) { return std::string(test.param->isa); });

}  // namespace
}  // namespace lowkey
