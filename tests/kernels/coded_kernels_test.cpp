#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/coded.h"
#include "kernels/kernels.h"

namespace lowkey {
namespace {

// Kernels of coded tiles of every instruction set that runs here, against f64 sums over the levels
// of the codes.

using Widths = std::vector<uint8_t>;

/// Tokens with random codes, as keys and as values.
struct Tokens {
    Widths widths;
    std::vector<int64_t> band_ends;
    CodedShape shape;
    int64_t tiles;
    std::vector<std::byte> keys, values;
    std::vector<double> scales;  // [16 · tiles]
    std::vector<double> levels;  // [16 · tiles, coords], times the token's scale

    Tokens(Widths of, std::vector<int64_t> ends, bool scaled, int64_t count, unsigned seed)
        : widths(std::move(of)), band_ends(std::move(ends)), tiles(count) {
        if (band_ends.empty()) band_ends = {std::ssize(widths)};
        shape = {.widths = widths.data(),
                 .runs = std::ssize(widths),
                 .band_ends = band_ends.data(),
                 .bands = std::ssize(band_ends),
                 .scaled = scaled};
        const auto bytes = static_cast<size_t>(tiles * shape.tile_bytes());
        keys.resize(bytes);
        values.resize(bytes);
        std::mt19937 rng(seed);
        std::vector<uint8_t> codes(static_cast<size_t>(shape.coords()));
        for (int64_t t = 0; t < tiles * kTileTokens; ++t) {
            for (size_t c = 0; c < codes.size(); ++c)
                codes[c] = static_cast<uint8_t>(rng() % (1u << widths[c / kRunCoords]));
            const int scale = scaled ? static_cast<int>(rng() % 16) : 6;
            const int64_t tile = t / kTileTokens * shape.tile_bytes();
            const auto slot = static_cast<int>(t % kTileTokens);
            write_coded_key(shape, codes.data(), scale, keys.data() + tile, slot);
            write_coded_value(shape, codes.data(), scale, values.data() + tile, slot);
            scales.push_back(scaled ? static_cast<double>(coded_scale(scale)) : 1);
            for (size_t c = 0; c < codes.size(); ++c)
                levels.push_back(scales.back() * coded_levels(widths[c / kRunCoords])[codes[c]]);
        }
    }
    [[nodiscard]] int64_t tokens() const { return tiles * kTileTokens; }
    [[nodiscard]] double scale(int64_t token) const { return scales[static_cast<size_t>(token)]; }
    [[nodiscard]] double level(int64_t token, int64_t coord) const {
        return levels[static_cast<size_t>(token * shape.coords() + coord)];
    }
};

std::vector<float> random_floats(int64_t n, float low, unsigned seed) {
    std::mt19937 rng(seed);
    std::uniform_real_distribution<float> uniform(low, 1);
    std::vector<float> x(static_cast<size_t>(n));
    for (float& v : x) v = uniform(rng);
    return x;
}

/// Memory of prepared queries, at the alignment that kernels may rely on: none but of floats.
std::vector<float> prepared_memory(const KernelTable& table, const CodedShape& shape,
                                   int64_t rows) {
    return std::vector<float>(static_cast<size_t>(rows * table.coded_query_bytes(shape) / 4));
}
std::byte* bytes_of(std::vector<float>& x) { return reinterpret_cast<std::byte*>(x.data()); }

/// Prepares all bands; `weights` [rows, coords], `bias` [bands, rows] or empty.
void prepare(const KernelTable& table, const CodedShape& shape, const std::vector<float>& weights,
             const std::vector<float>& bias, int64_t rows, std::byte* prepared) {
    for (int64_t band = shape.bands - 1; band >= 0; --band) {
        const int64_t first = band == 0 ? 0 : shape.band_ends[band - 1] * kRunCoords;
        table.prepare_coded(shape, band, weights.data() + first, shape.coords(),
                            bias.empty() ? nullptr : bias.data() + band * rows, rows, prepared);
    }
}

/// Errors of sums beside what is allowed of each, and of all together.
class Errors {
public:
    /// `steps`: Σ (step · factor)² over the products of a sum one of whose factors is rounded to
    /// whole steps; none errs by more than half of one, and evenly up to that.
    void add(double error, double steps) {
        squares_ += error * error;
        expected_ += steps / 12;
    }
    void check() const { EXPECT_LE(squares_, 2 * expected_); }

private:
    double squares_ = 0, expected_ = 0;
};

class CodedKernels : public ::testing::TestWithParam<const KernelTable*> {
protected:
    [[nodiscard]] const KernelTable& table() const { return *GetParam(); }
    [[nodiscard]] bool rounds() const {
        return table().isa != "portable" && table().isa != "avx2" && table().isa != "avx512";
    }
    std::vector<float> scores(const Tokens& tokens, const std::vector<float>& weights,
                              const std::vector<float>& bias, int64_t rows, SoonRead soon = {}) {
        auto prepared = prepared_memory(table(), tokens.shape, rows);
        prepare(table(), tokens.shape, weights, bias, rows, bytes_of(prepared));
        std::vector<float> out(static_cast<size_t>(rows * (tokens.tokens() + 3)), 77.0f);
        table().score_coded(tokens.shape, bytes_of(prepared), rows,
                            {tokens.keys.data(), tokens.tiles, soon}, out.data(),
                            tokens.tokens() + 3);
        return out;
    }
    std::vector<float> sums(const Tokens& tokens, const std::vector<float>& p, int64_t rows,
                            SoonRead soon = {}) {
        const int64_t stride = tokens.shape.coords() + 1;
        std::vector<float> acc(static_cast<size_t>(rows * stride), 0.5f);
        table().sum_coded(tokens.shape, p.data(), tokens.tokens(), rows,
                          {tokens.values.data(), tokens.tiles, soon}, acc.data(), stride);
        return acc;
    }
    void check(const Tokens& tokens, int64_t rows);
};

void CodedKernels::check(const Tokens& tokens, int64_t rows) {
    const CodedShape& shape = tokens.shape;
    const int64_t coords = shape.coords();
    constexpr double kExact = 1e-5;  // of the sum of absolute products, in f32
    const auto weights = random_floats(rows * coords, -1, 3);
    const auto bias = random_floats(rows * shape.bands, -1, 4);
    const auto out = scores(tokens, weights, bias, rows);
    const int64_t stride = tokens.tokens() + 3;
    Errors score_errors;
    for (int64_t r = 0; r < rows; ++r) {
        double added = 0;
        std::vector<double> steps(static_cast<size_t>(coords));  // of 127 to the band's largest
        for (int64_t b = 0, first = 0; b < shape.bands; first = shape.band_ends[b++] * kRunCoords) {
            added += bias[static_cast<size_t>(b * rows + r)];
            double largest = 0;
            const auto end = static_cast<size_t>(shape.band_ends[b] * kRunCoords);
            for (auto c = static_cast<size_t>(first); c < end; ++c)
                largest = std::max<double>(largest,
                                           std::abs(weights[static_cast<size_t>(r * coords) + c]));
            std::fill(steps.begin() + first, steps.begin() + static_cast<std::ptrdiff_t>(end),
                      largest / 127);
        }
        for (int64_t t = 0; t < tokens.tokens(); ++t) {
            double want = added, absolute = std::abs(added), half_steps = 0, squares = 0;
            for (int64_t c = 0; c < coords; ++c) {
                const double level = tokens.level(t, c);
                const double term =
                    static_cast<double>(weights[static_cast<size_t>(r * coords + c)]) * level;
                const double step = steps[static_cast<size_t>(c)] * std::abs(level);
                want += term;
                absolute += std::abs(term);
                half_steps += step / 2;
                squares += step * step;
            }
            const double error = out[static_cast<size_t>(r * stride + t)] - want;
            ASSERT_LE(std::abs(error), kExact * absolute + (rounds() ? half_steps : 0))
                << "row " << r << " token " << t;
            score_errors.add(error, squares + kExact * absolute);
        }
        for (int64_t t = tokens.tokens(); t < stride; ++t)
            ASSERT_EQ(out[static_cast<size_t>(r * stride + t)], 77.0f);
    }
    score_errors.check();

    auto p = random_floats(rows * tokens.tokens(), 0, 5);
    for (size_t i = 0; i < p.size(); i += 3) p[i] *= 0.01f;
    const auto acc = sums(tokens, p, rows);
    Errors sum_errors;
    for (int64_t r = 0; r < rows; ++r) {
        double largest = 0;
        for (int64_t t = 0; t < tokens.tokens(); ++t) {
            largest = std::max(largest,
                               p[static_cast<size_t>(r * tokens.tokens() + t)] * tokens.scale(t));
        }
        for (int64_t c = 0; c < coords; ++c) {
            double want = 0.5, absolute = 0.5, half_steps = 0, squares = 0;
            for (int64_t t = 0; t < tokens.tokens(); ++t) {
                const double level = tokens.level(t, c);
                const double term =
                    static_cast<double>(p[static_cast<size_t>(r * tokens.tokens() + t)]) * level;
                const double step = largest / 255 * std::abs(level) / tokens.scale(t);
                want += term;
                absolute += std::abs(term);
                half_steps += step / 2;
                squares += step * step;
            }
            const double error = acc[static_cast<size_t>(r * (coords + 1) + c)] - want;
            ASSERT_LE(std::abs(error), kExact * absolute + (rounds() ? half_steps : 0))
                << "row " << r << " coordinate " << c;
            sum_errors.add(error, squares + kExact * absolute);
        }
        ASSERT_EQ(acc[static_cast<size_t>(r * (coords + 1) + coords)], 0.5f);
    }
    sum_errors.check();
}

TEST_P(CodedKernels, EveryWidthAloneMatchesItsLevels) {
    for (uint8_t width = 1; width <= kMaxWidth; ++width) {
        for (const bool scaled : {false, true}) {
            SCOPED_TRACE(static_cast<int>(width));
            check(Tokens({width}, {}, scaled, 2, width), 2);
            check(Tokens({width, width, width}, {}, scaled, 3, width), 7);
        }
    }
}

TEST_P(CodedKernels, MixedWidthsMatchTheirLevels) {
    const Widths mixed = {8, 7, 6, 5, 4, 3, 2, 1};
    for (int64_t tiles = 1; tiles <= 5; ++tiles)
        check(Tokens(mixed, {}, tiles % 2 != 0, tiles, 20), 3);
    for (int64_t rows = 1; rows <= 9; ++rows) {
        SCOPED_TRACE(rows);
        check(Tokens({5, 4, 4, 3, 3, 3, 2, 2}, {}, true, 3, 21), rows);
    }
    check(Tokens({6, 4, 3, 2, 1}, {}, true, 4, 22), 128);
    check(Tokens({4, 3}, {}, true, 64, 23), 4);
}

TEST_P(CodedKernels, ManyRunsComeInParts) {
    Widths many;
    for (int i = 0; i < 71; ++i) many.push_back(static_cast<uint8_t>(1 + i * 5 % 8));
    check(Tokens(many, {}, true, 3, 24), 2);
    check(Tokens(many, {1, 33, 71}, true, 3, 24), 9);
    many.resize(32);
    check(Tokens(many, {}, true, 2, 25), 7);
}

TEST_P(CodedKernels, BandsHaveScalesOfTheirOwn) {
    const Widths widths = {4, 3, 2, 5, 3, 2, 1};
    check(Tokens(widths, {3, 7}, true, 2, 26), 7);
    check(Tokens(widths, {1, 2, 6, 7}, false, 2, 27), 3);
    // A band whose weights are far below another's loses nothing.
    const Tokens tokens({4, 4}, {1, 2}, false, 1, 28);
    auto weights = random_floats(16, -1, 29);
    for (size_t i = 0; i < 8; ++i) weights[i] *= 1e6f;
    const auto all = scores(tokens, weights, {}, 1);
    for (size_t i = 0; i < 8; ++i) weights[i] = 0;
    const auto second = scores(tokens, weights, {}, 1);
    double largest = 0;
    for (int64_t t = 0; t < kTileTokens; ++t) {
        double want = 0;
        for (int64_t c = 8; c < 16; ++c)
            want += static_cast<double>(weights[static_cast<size_t>(c)]) * tokens.level(t, c);
        largest = std::max(largest, std::abs(want));
        EXPECT_NEAR(second[static_cast<size_t>(t)], want, 5);
    }
    EXPECT_GT(largest, 50);
    EXPECT_NE(all, second);
}

TEST_P(CodedKernels, ABandPreparedAgainLeavesTheOthers) {
    const Tokens tokens({4, 3, 2}, {1, 3}, true, 2, 30);
    constexpr int64_t kRows = 3;
    const int64_t coords = tokens.shape.coords();
    const auto weights = random_floats(kRows * coords, -1, 31);
    const auto bias = random_floats(kRows * 2, -1, 32);
    const auto want = scores(tokens, weights, bias, kRows);
    auto prepared = prepared_memory(table(), tokens.shape, kRows);
    const auto others = random_floats(kRows * coords, -9, 33);
    prepare(table(), tokens.shape, others, bias, kRows, bytes_of(prepared));
    prepare(table(), tokens.shape, weights, bias, kRows, bytes_of(prepared));
    table().prepare_coded(tokens.shape, 1, others.data(), coords, bias.data(), kRows,
                          bytes_of(prepared));
    table().prepare_coded(tokens.shape, 1, weights.data() + kRunCoords, coords, bias.data() + kRows,
                          kRows, bytes_of(prepared));
    std::vector<float> out(want.size(), 77.0f);
    table().score_coded(tokens.shape, bytes_of(prepared), kRows, {tokens.keys.data(), 2},
                        out.data(), tokens.tokens() + 3);
    EXPECT_EQ(out, want);
}

TEST_P(CodedKernels, ARowIsTheSameInAnyCompany) {
    const Tokens tokens({5, 4, 3, 2, 1, 6}, {2, 6}, true, 5, 34);
    const int64_t coords = tokens.shape.coords();
    constexpr int64_t kRows = 13;
    const auto weights = random_floats(kRows * coords, -1, 35);
    const auto p = random_floats(kRows * tokens.tokens(), 0, 36);
    const auto all_scores = scores(tokens, weights, {}, kRows);
    const auto all_sums = sums(tokens, p, kRows);
    for (int64_t r = 0; r < kRows; ++r) {
        const auto row = [&](const std::vector<float>& of, int64_t size) {
            return std::vector<float>(of.begin() + r * size, of.begin() + (r + 1) * size);
        };
        EXPECT_EQ(scores(tokens, row(weights, coords), {}, 1),
                  row(all_scores, tokens.tokens() + 3));
        EXPECT_EQ(sums(tokens, row(p, tokens.tokens()), 1), row(all_sums, coords + 1));
    }
}

TEST_P(CodedKernels, WhatIsInUnusedSlotsDoesNotCount) {
    Tokens tokens({4, 3, 1}, {}, true, 2, 37);
    auto p = random_floats(2 * tokens.tokens(), 0, 38);
    for (size_t t = 21; t < 32; ++t) p[t] = p[32 + t] = 0;
    const auto want = sums(tokens, p, 2);
    const std::vector<uint8_t> codes(static_cast<size_t>(tokens.shape.coords()), 1);
    for (int t = 5; t < kTileTokens; ++t) {
        write_coded_value(tokens.shape, codes.data(), 15,
                          tokens.values.data() + tokens.shape.tile_bytes(), t);
    }
    EXPECT_EQ(sums(tokens, p, 2), want);
    const std::vector<float> none(p.size(), 0);
    for (const float x : sums(tokens, none, 2)) EXPECT_EQ(x, 0.5f);
}

TEST_P(CodedKernels, WeightsOfNothingScoreTheirBias) {
    const Tokens tokens({4, 3}, {1, 2}, true, 1, 39);
    const auto out = scores(tokens, std::vector<float>(16, 0), {0.25f, 0.5f}, 1);
    for (size_t t = 0; t < kTileTokens; ++t) EXPECT_EQ(out[t], 0.75f);
}

TEST_P(CodedKernels, WhatIsReadSoonChangesNothing) {
    const Tokens tokens({5, 3, 2, 1}, {}, true, 5, 40);
    const std::vector<std::byte> soon(2 * tokens.keys.size());
    const auto bytes = static_cast<int64_t>(tokens.keys.size());
    for (const int64_t rows : {1, 7}) {
        const auto weights = random_floats(rows * tokens.shape.coords(), -1, 41);
        const auto p = random_floats(rows * tokens.tokens(), 0, 42);
        for (const int64_t n : {int64_t{1}, bytes / 3, bytes, 2 * bytes}) {
            EXPECT_EQ(scores(tokens, weights, {}, rows),
                      scores(tokens, weights, {}, rows, {soon.data(), n}));
            EXPECT_EQ(sums(tokens, p, rows), sums(tokens, p, rows, {soon.data(), n}));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, CodedKernels, ::testing::ValuesIn(runnable_kernels()),
                         [](const auto& test) { return std::string(test.param->isa); });

}  // namespace
}  // namespace lowkey
