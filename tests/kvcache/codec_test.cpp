#include "kvcache/codec.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "kernels/kernels.h"
#include "tests/kvcache/helpers.h"

namespace lowkey {
namespace {

using test::low_rank;
using test::random_floats;

struct Case {
    const char* name;
    CodecSpec spec;
    DType dtype;
    bool rotated;  // the model has rotary positions
};

std::vector<Case> cases() {
    constexpr int64_t kDim = 24;
    return {{"dense_f32", {}, DType::kF32, true},
            {"dense_bf16", {}, DType::kBF16, true},
            {"low_rank_f32", low_rank(kDim, 7, 1), DType::kF32, true},
            {"low_rank_bf16", low_rank(kDim, 10, 2), DType::kBF16, false},
            {"before_rotation_f32", low_rank(kDim, 9, 3, "before_rotation"), DType::kF32, true},
            {"before_rotation_bf16", low_rank(kDim, 5, 4, "before_rotation"), DType::kBF16, true},
            {"before_rotation_without_rotation", low_rank(kDim, 5, 5, "before_rotation"),
             DType::kF32, false}};
}

/// Of rows of `width`.
std::vector<float> sums_of(const std::vector<float>& p, int64_t rows, int64_t width) {
    std::vector<float> sums(static_cast<size_t>(rows), 0.0f);
    for (int64_t i = 0; i < rows * width; ++i)
        sums[static_cast<size_t>(i / width)] += p[static_cast<size_t>(i)];
    return sums;
}

class Codecs : public ::testing::TestWithParam<Case> {
protected:
    static constexpr int64_t kDim = 24;
    [[nodiscard]] CodecContext context() const {
        return {kDim, GetParam().dtype, GetParam().rotated ? test::rotary(kDim) : nullptr,
                "layer 0, KV head 0"};
    }
    /// A bf16 number is off by at most 2^-9 of itself; sums of kDim random terms stay within a few
    /// such.
    [[nodiscard]] double tolerance() const { return GetParam().dtype == DType::kF32 ? 2e-4 : 0.5; }
    /// How far a product of so many rows with vectors in 16 bits may be off, as a share of the
    /// lengths of both factors: kernels may round the rows, too.
    [[nodiscard]] double rounding(int64_t rows) const {
        const int64_t from = kernels().rounds_from_rows;
        const bool rounds = GetParam().dtype == DType::kBF16 && from > 0 && rows >= from;
        return rounds ? 1.0 / 512 : 0;
    }
    void check_scores(int64_t rows) const;
    void check_sums(int64_t rows) const;
};

void Codecs::check_scores(int64_t rows) const {
    const auto codec = make_key_codec(GetParam().spec, context());
    const int64_t tokens = 40;
    const int64_t tiles = 3;
    const auto keys = random_floats(tokens * kDim, 6);
    const auto q = random_floats(rows * kDim, 7);
    std::vector<std::byte> memory(static_cast<size_t>(tiles * codec->tile_bytes()),
                                  std::byte{0xff});
    // In two runs, so that one starts inside a tile.
    const SlotPositions at{.origin = 100, .first = 100};
    codec->encode(keys.data(), kDim, 21, memory.data(), 0, at);
    codec->encode(keys.data() + 21 * kDim, kDim, tokens - 21, memory.data(), 21,
                  {.origin = 100, .first = 121});

    std::vector<std::byte> prepared(static_cast<size_t>(rows * codec->query_bytes()));
    codec->prepare_queries(q.data(), rows, prepared.data());
    std::vector<float> scores(static_cast<size_t>(rows * tiles * kTileTokens));
    Scratch scratch;
    codec->score(prepared.data(), rows, {memory.data(), tiles}, at, scores.data(),
                 tiles * kTileTokens, scratch);
    std::vector<float> key(kDim);
    for (int64_t t = 0; t < tokens; ++t) {
        codec->decode(memory.data(), t, {.origin = 100, .first = 100 + t}, key.data());
        if (codec->before_rotation()) context().rotary->rotate(key.data(), 100 + t);
        for (int64_t r = 0; r < rows; ++r) {
            double want = 0;
            double size = 0;
            double q_squares = 0;
            double key_squares = 0;
            for (int64_t i = 0; i < kDim; ++i) {
                const double a = q[static_cast<size_t>(r * kDim + i)];
                const double b = key[static_cast<size_t>(i)];
                want += a * b;
                size += std::abs(a * b);
                q_squares += a * a;
                key_squares += b * b;
            }
            ASSERT_NEAR(scores[static_cast<size_t>(r * tiles * kTileTokens + t)], want,
                        1e-5 * size + 1e-5 + rounding(rows) * std::sqrt(q_squares * key_squares))
                << "token " << t << " row " << r;
        }
    }
    for (const float score : scores) EXPECT_TRUE(std::isfinite(score)) << "an unused slot";
}

TEST_P(Codecs, ScoresAreQueriesTimesDecodedRotatedKeys) {
    for (const int64_t rows : {2, 9}) check_scores(rows);
}

TEST_P(Codecs, DecodingGivesTheProjectedVector) {
    const auto codec = make_key_codec(GetParam().spec, context());
    const auto key = random_floats(kDim, 8);
    std::vector<std::byte> memory(static_cast<size_t>(codec->tile_bytes()));
    codec->encode(key.data(), kDim, 1, memory.data(), 0, {});
    std::vector<float> decoded(kDim);
    codec->decode(memory.data(), 0, {}, decoded.data());
    const auto& tensors = GetParam().spec.map.tensors;
    for (int64_t i = 0; i < kDim; ++i) {
        double want = key[static_cast<size_t>(i)];
        if (!tensors.empty()) {
            const Tensor& encode = *tensors.at("encode");
            const Tensor& decode = *tensors.at("decode");
            want = 0;
            for (int64_t r = 0; r < encode.dim(1); ++r) {
                double coordinate = 0;
                for (int64_t j = 0; j < kDim; ++j) {
                    coordinate += static_cast<double>(key[static_cast<size_t>(j)]) *
                                  encode.f32()[static_cast<size_t>(j * encode.dim(1) + r)];
                }
                want += coordinate * decode.f32()[static_cast<size_t>(r * kDim + i)];
            }
        }
        EXPECT_NEAR(decoded[static_cast<size_t>(i)], want, tolerance());
    }
}

void Codecs::check_sums(int64_t rows) const {
    CodecSpec spec = GetParam().spec;
    spec.map.settings.erase("space");
    const auto codec = make_value_codec(spec, context());
    const int64_t tokens = 19;
    const auto values = random_floats(tokens * kDim, 9);
    std::vector<std::byte> memory(static_cast<size_t>(2 * codec->tile_bytes()), std::byte{0xff});
    codec->encode(values.data(), kDim, tokens, memory.data(), 0);
    auto p = random_floats(rows * 32, 10);
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t t = tokens; t < 32; ++t) p[static_cast<size_t>(r * 32 + t)] = 0;
    }
    std::vector<float> acc(static_cast<size_t>(rows * codec->sum_dim()), 0);
    codec->accumulate(p.data(), 32, rows, {memory.data(), 2}, acc.data());
    std::vector<float> out(static_cast<size_t>(rows * kDim), 1);
    const std::vector<float> weights = sums_of(p, rows, 32);
    codec->finish(acc.data(), weights.data(), rows, out.data());
    std::vector<float> value(kDim);
    std::vector<double> want(static_cast<size_t>(rows * kDim), 1);
    double squares = 0;
    for (int64_t t = 0; t < tokens; ++t) {
        codec->decode(memory.data(), t, value.data());
        for (const float x : value) squares += static_cast<double>(x) * x;
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t i = 0; i < kDim; ++i) {
                want[static_cast<size_t>(r * kDim + i)] +=
                    static_cast<double>(p[static_cast<size_t>(r * 32 + t)]) *
                    value[static_cast<size_t>(i)];
            }
        }
    }
    // Weights lie between -1 and 1.
    const double slack = rounding(rows) * std::sqrt(static_cast<double>(tokens) * squares);
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(out[i], want[i], 1e-3 + slack);
}

TEST_P(Codecs, SumsAreWeightedDecodedValues) {
    for (const int64_t rows : {2, 5}) check_sums(rows);
}

INSTANTIATE_TEST_SUITE_P(All, Codecs, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return std::string(test.param.name); });

// A setting or tensor that is not understood would make another cache than the plan says.
TEST(Codec, RefusesSettingsAndTensorsByName) {
    const CodecContext context{8, DType::kBF16, nullptr, "layer 3, KV head 1"};
    CodecSpec with_tensor;
    with_tensor.map.tensors = low_rank(8, 4, 1).map.tensors;
    CodecSpec with_scale = low_rank(8, 4, 1);
    with_scale.map.tensors["scale"] = with_scale.map.tensors.at("encode");
    CodecSpec with_bits = low_rank(8, 4, 1);
    with_bits.map.settings["bits"] = int64_t{4};
    const std::vector<std::pair<CodecSpec, std::string>> wrong = {
        {{.store = {"float", {{"bits", int64_t{4}}}}}, "a setting 'bits'"},
        {{.map = {"identity", {{"space", std::string("after_rotation")}}}}, "a setting 'space'"},
        {with_tensor, "a tensor 'decode'"},
        {with_scale, "a tensor 'scale'"},
        {with_bits, "a setting 'bits'"},
        {low_rank(8, 9, 1), "of rank 9"},
    };
    for (const auto& [spec, what] : wrong) {
        for (const bool key : {true, false}) {
            try {
                if (key) {
                    make_key_codec(spec, context);
                } else {
                    make_value_codec(spec, context);
                }
                ADD_FAILURE() << what;
            } catch (const UsageError& e) {
                EXPECT_NE(std::string(e.what()).find(what), std::string::npos) << e.what();
                EXPECT_NE(std::string(e.what()).find(context.where), std::string::npos);
            }
        }
    }
    EXPECT_THROW(make_value_codec(low_rank(8, 4, 1, "before_rotation"), context), UsageError)
        << "a space is of keys";
}

TEST(Codec, RefusesWhatItDoesNotKnow) {
    const CodecContext context{8, DType::kBF16, nullptr, "layer 3, KV head 1, key"};
    EXPECT_THROW(make_key_codec({.map = {"wavelet"}}, context), UnsupportedError);
    EXPECT_THROW(make_key_codec({.map = {"linear"}}, context), UsageError);  // no tensors
    EXPECT_THROW(make_key_codec(low_rank(9, 4, 1), context), UsageError);    // another head_dim
    EXPECT_THROW(make_value_codec({.store = {"float", {{"dtype", std::string("i8")}}}}, context),
                 UsageError);
    EXPECT_THROW(make_value_codec({.store = {"float", {{"dtype", int64_t{4}}}}}, context),
                 UsageError);
    EXPECT_THROW(make_key_codec(low_rank(8, 4, 1, "sideways"), context), UsageError);
    try {
        make_key_codec({.map = {"wavelet"}}, context);
    } catch (const UnsupportedError& e) {
        EXPECT_NE(std::string(e.what()).find("layer 3, KV head 1, key"), std::string::npos)
            << e.what();
    }
}

}  // namespace
}  // namespace lowkey
