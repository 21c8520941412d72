#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "kernels/coded.h"
#include "kernels/kernels.h"
#include "kvcache/codec.h"
#include "tests/kvcache/helpers.h"

namespace lowkey {
namespace {

using test::random_floats;

constexpr int64_t kCoords = 32;
constexpr int64_t kTokens = 37;
constexpr int64_t kTiles = 3;

std::shared_ptr<const Tensor> row(const std::vector<float>& values) {
    auto tensor =
        std::make_shared<Tensor>(DType::kF32, Shape{1, static_cast<int64_t>(values.size())});
    std::copy(values.begin(), values.end(), tensor->f32().begin());
    return tensor;
}

CodecPart coded_part(const std::vector<float>& widths, bool scaled, unsigned seed = 3) {
    std::vector<float> steps =
        random_floats(static_cast<int64_t>(widths.size()) * kRunCoords, seed);
    for (size_t i = 0; i < steps.size(); ++i) {
        const int width = static_cast<int>(widths[i / kRunCoords]);
        steps[i] = (1 + 0.5f * std::abs(steps[i])) / coded_sigma(width);
    }
    CodecPart part{"coded", {}, {{"widths", row(widths)}, {"steps", row(steps)}}};
    if (scaled) part.settings["token_scale"] = 1.1;
    return part;
}

struct CodedCase {
    std::vector<float> widths;
    bool scaled;
};

class CodedStore : public ::testing::TestWithParam<int> {
protected:
    [[nodiscard]] static CodedCase get() {
        const std::vector<CodedCase> cases = {{{4, 4, 4, 4}, false}, {{8, 6, 3, 1}, true},
                                              {{1, 1, 1, 1}, true},  {{7, 5, 2, 2}, false},
                                              {{3, 3, 2, 1}, true},  {{8, 8, 8, 8}, false}};
        return cases[static_cast<size_t>(GetParam())];
    }
    [[nodiscard]] static CodecPart part() { return coded_part(get().widths, get().scaled); }
    [[nodiscard]] static StoreContext context() {
        return {kCoords, DType::kBF16, {}, "layer 0, KV head 0, key"};
    }
};

/// What the specification says that a token becomes.
std::vector<float> reference(const CodecPart& part, const float* x) {
    const auto steps = part.tensors.at("steps")->f32();
    const auto widths = part.tensors.at("widths")->f32();
    const auto width = [&](size_t i) { return static_cast<int>(widths[i / kRunCoords]); };
    float scale = 1;
    if (part.settings.count("token_scale") > 0) {
        double squares = 0;
        for (size_t i = 0; i < steps.size(); ++i)
            squares += std::pow(
                static_cast<double>(x[i]) / (static_cast<double>(steps[i]) * coded_sigma(width(i))),
                2);
        const double length = std::sqrt(squares / static_cast<double>(steps.size()));
        scale = coded_scale(coded_nearest_scale(static_cast<float>(1.1 * length)));
    }
    std::vector<float> out;
    for (size_t i = 0; i < steps.size(); ++i) {
        double best = std::numeric_limits<double>::infinity();
        double nearest = 0;
        for (const int8_t level : coded_levels(width(i))) {
            const double value = static_cast<double>(level) * steps[i] * scale;
            if (std::abs(x[i] - value) >= best) continue;
            best = std::abs(x[i] - value);
            nearest = value;
        }
        out.push_back(static_cast<float>(nearest));
    }
    return out;
}

TEST_P(CodedStore, TokensBecomeTheirNearestLevels) {
    const auto keys = make_key_store(part(), context());
    const auto values = make_value_store(part(), context());
    auto x = random_floats(kTokens * kCoords, 5);
    for (int64_t i = 0; i < kCoords; ++i) x[static_cast<size_t>(9 * kCoords + i)] *= 40;  // far out
    for (int64_t i = 0; i < kCoords; ++i) x[static_cast<size_t>(11 * kCoords + i)] = 0;
    const auto check = [&](const TileStore& store) {
        std::vector<std::byte> memory(static_cast<size_t>(kTiles * store.tile_bytes()),
                                      std::byte{0xa5});
        store.write(x.data(), kCoords, 21, memory.data(), 0);
        store.write(x.data() + 21 * kCoords, kCoords, kTokens - 21, memory.data(), 21);
        std::vector<float> got(kCoords);
        for (int64_t t = 0; t < kTokens; ++t) {
            store.read(memory.data(), t, got.data());
            const std::vector<float> want = reference(part(), x.data() + t * kCoords);
            for (int64_t i = 0; i < kCoords; ++i) {
                const auto at = static_cast<size_t>(i);
                EXPECT_NEAR(got[at], want[at], 1e-5 * std::abs(want[at])) << t << " " << i;
            }
        }
    };
    check(*keys);
    check(*values);
}

TEST_P(CodedStore, SlotsMoveWithoutLossAndAlone) {
    const auto check = [&](const TileStore& store) {
        const auto x = random_floats(kTokens * kCoords, 6);
        std::vector<std::byte> memory(static_cast<size_t>(kTiles * store.tile_bytes()));
        store.write(x.data(), kCoords, kTokens, memory.data(), 0);
        const auto read = [&](int64_t slot) {
            std::vector<float> out(kCoords);
            store.read(memory.data(), slot, out.data());
            return out;
        };
        std::vector<std::vector<float>> want;
        for (int64_t t = 0; t < kTokens; ++t) want.push_back(read(t));
        for (const auto& [from, to] : {std::pair<int64_t, int64_t>(35, 2), {36, 16}, {3, 30}}) {
            store.copy(memory.data(), from, memory.data(), to);
            want[static_cast<size_t>(to)] = want[static_cast<size_t>(from)];
        }
        for (int64_t t = 0; t < kTokens; ++t) EXPECT_EQ(read(t), want[static_cast<size_t>(t)]) << t;
    };
    check(*make_key_store(part(), context()));
    check(*make_value_store(part(), context()));
}

TEST_P(CodedStore, ScoresAndSumsAreThoseOfWhatIsRead) {
    const auto keys = make_key_store(part(), context());
    const auto values = make_value_store(part(), context());
    const auto x = random_floats(kTokens * kCoords, 7);
    std::vector<std::byte> key_tiles(static_cast<size_t>(kTiles * keys->tile_bytes()));
    std::vector<std::byte> value_tiles = key_tiles;
    keys->write(x.data(), kCoords, kTokens, key_tiles.data(), 0);
    values->write(x.data(), kCoords, kTokens, value_tiles.data(), 0);
    for (const int64_t rows : {1, 7, 20}) {
        const auto q = random_floats(rows * kCoords, 8);
        const auto bias = random_floats(rows, 9);
        std::vector<std::byte> prepared(static_cast<size_t>(rows * keys->query_bytes()));
        std::vector<float> scaled = q;
        for (size_t i = 0; i < scaled.size(); ++i) scaled[i] *= keys->units()[i % kCoords];
        keys->prepare(0, scaled.data(), kCoords, bias.data(), rows, prepared.data());
        const int64_t slots = kTiles * kTileTokens;
        std::vector<float> scores(static_cast<size_t>(rows * slots));
        keys->score(prepared.data(), rows, {key_tiles.data(), kTiles}, scores.data(), slots);
        std::vector<float> p(static_cast<size_t>(rows * slots), 0.0f);
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t t = 0; t < kTokens; ++t)
                p[static_cast<size_t>(r * slots + t)] = static_cast<float>((t * 7 + r) % 11) / 11;
        }
        std::vector<float> sums(static_cast<size_t>(rows * kCoords), 0.0f);
        values->accumulate(p.data(), slots, rows, {value_tiles.data(), kTiles}, sums.data());
        values->finish(sums.data(), rows);
        std::vector<double> want_sums(static_cast<size_t>(rows * kCoords), 0.0);
        std::vector<double> sizes = want_sums;
        for (int64_t t = 0; t < kTokens; ++t) {
            std::vector<float> own(kCoords);
            keys->read(key_tiles.data(), t, own.data());
            for (int64_t r = 0; r < rows; ++r) {
                double want = bias[static_cast<size_t>(r)];
                double size = 0;
                for (int64_t i = 0; i < kCoords; ++i) {
                    const double term =
                        static_cast<double>(q[static_cast<size_t>(r * kCoords + i)]) *
                        own[static_cast<size_t>(i)];
                    want += term;
                    size += std::abs(term);
                    const auto at = static_cast<size_t>(r * kCoords + i);
                    const double part = static_cast<double>(p[static_cast<size_t>(r * slots + t)]) *
                                        own[static_cast<size_t>(i)];
                    want_sums[at] += part;
                    sizes[at] += std::abs(static_cast<double>(own[static_cast<size_t>(i)]));
                }
                // Kernels may round a query's weights to 8 bits, of the largest.
                EXPECT_NEAR(scores[static_cast<size_t>(r * slots + t)], want, 0.03 * size + 1e-3);
            }
        }
        // And a token's weight, times its scale, to 8 bits of the largest of some tiles.
        for (size_t i = 0; i < sums.size(); ++i)
            EXPECT_NEAR(sums[i], want_sums[i], 0.03 * sizes[i] + 1e-3);
    }
}

TEST(CodedStoreBands, AddTheirBiasesAlsoWhereThereIsNothingElse) {
    const auto store =
        make_key_store(coded_part({7, 4, 3, 3}, true),
                       {kCoords, DType::kBF16, {0, 16, kCoords}, "layer 0, KV head 0"});
    const auto x = random_floats(kTileTokens * kCoords, 7);
    std::vector<std::byte> tile(static_cast<size_t>(store->tile_bytes()));
    store->write(x.data(), kCoords, kTileTokens, tile.data(), 0);
    const std::vector<float> q(kCoords, 0.0f);
    std::vector<std::byte> prepared(static_cast<size_t>(store->query_bytes()));
    for (const int64_t band : {2, 0, 1}) {
        const auto bias = static_cast<float>(1 << band);
        store->prepare(band, q.data(), kCoords, &bias, 1, prepared.data());
    }
    std::vector<float> scores(kTileTokens);
    store->score(prepared.data(), 1, {tile.data(), 1}, scores.data(), kTileTokens);
    for (const float score : scores) EXPECT_FLOAT_EQ(score, 7);
}

INSTANTIATE_TEST_SUITE_P(All, CodedStore, ::testing::Range(0, 6));

TEST(CodedStoreErrors, BadPartsAreRefusedByName) {
    const StoreContext context{kCoords, DType::kBF16, {}, "layer 3, KV head 1, value"};
    const CodecPart good = coded_part({4, 4, 2, 1}, true);
    EXPECT_NO_THROW(make_value_store(good, context));
    const auto refused = [&](const CodecPart& part, const std::string& what,
                             const StoreContext& own) {
        for (const bool key : {true, false}) {
            try {
                if (key) {
                    make_key_store(part, own);
                } else {
                    make_value_store(part, own);
                }
                ADD_FAILURE() << what;
            } catch (const UsageError& e) {
                EXPECT_NE(std::string(e.what()).find(what), std::string::npos) << e.what();
                EXPECT_NE(std::string(e.what()).find(own.where), std::string::npos) << e.what();
            }
        }
    };
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    for (const float width : {0.0f, 9.0f, 2.5f, -1.0f, nan, infinity}) {
        CodecPart bad = good;
        bad.tensors["widths"] = row({4, 4, width, 1});
        refused(bad, "a width", context);
    }
    for (const float step : {0.0f, -1.0f, nan, infinity, 1e-44f}) {
        std::vector<float> steps(kCoords, 1.0f);
        steps[7] = step;
        CodecPart bad = good;
        bad.tensors["steps"] = row(steps);
        refused(bad, "a step", context);
    }
    CodecPart bad = good;
    bad.tensors["widths"] = row({4, 4, 4});
    refused(bad, "'widths'", context);
    bad = good;
    bad.tensors.erase("steps");
    refused(bad, "no tensor 'steps'", context);
    bad = good;
    bad.settings["token_scale"] = 0.0;
    refused(bad, "token_scale", context);
    bad.settings["token_scale"] = nan;
    refused(bad, "token_scale", context);
    bad = good;
    bad.settings["bits"] = int64_t{4};
    refused(bad, "a setting 'bits'", context);
    refused(good, "30 coordinates", {30, DType::kBF16, {}, "layer 3"});
    refused(good, "two bands", {kCoords, DType::kBF16, {12, kCoords}, "layer 3"});
}

// ---- keys in blocks

class BlockKeys : public ::testing::Test {
protected:
    [[nodiscard]] CodecContext context() const {
        return {kCoords, DType::kF32, test::rotary(kCoords), "layer 0, KV head 0, key"};
    }
    /// Exact but for the store: every number is its own coordinate.
    [[nodiscard]] static CodecSpec exact() {
        CodecSpec spec = test::coded_in_blocks(kCoords, 6, 8);
        spec.store = {"float", {{"dtype", std::string("f32")}}};
        return spec;
    }
};

TEST_F(BlockKeys, ComeBackAndMeetQueriesAsTheyWereRotated) {
    const auto codec = make_key_codec(exact(), context());
    EXPECT_FALSE(codec->any_order());
    const int64_t tokens = 150;
    const int64_t tiles = 10;
    const SlotPositions at{.origin = 4, .first = 4};
    auto keys = random_floats(tokens * kCoords, 4);
    std::vector<std::byte> memory(static_cast<size_t>(tiles * codec->tile_bytes()));
    codec->encode(keys.data(), kCoords, 33, memory.data(), 0, at);
    codec->encode(keys.data() + 33 * kCoords, kCoords, tokens - 33, memory.data(), 33,
                  {.origin = 4, .first = 37});
    std::vector<float> key(kCoords);
    for (int64_t t = 0; t < tokens; ++t) {
        codec->decode(memory.data(), t, {.origin = 4, .first = 4 + t}, key.data());
        for (int64_t i = 0; i < kCoords; ++i)
            EXPECT_NEAR(key[static_cast<size_t>(i)], keys[static_cast<size_t>(t * kCoords + i)],
                        1e-5);
    }
    // From a tile in the middle of a block, too.
    for (const int64_t first : {0, 3}) {
        const int64_t rows = 3;
        const auto q = random_floats(rows * kCoords, 5);
        std::vector<std::byte> prepared(static_cast<size_t>(rows * codec->query_bytes()));
        codec->prepare_queries(q.data(), rows, prepared.data());
        const int64_t slots = (tiles - first) * kTileTokens;
        std::vector<float> scores(static_cast<size_t>(rows * slots));
        Scratch scratch;
        codec->score(
            prepared.data(), rows, {memory.data() + first * codec->tile_bytes(), tiles - first},
            {.origin = 4, .first = 4 + first * kTileTokens}, scores.data(), slots, scratch);
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t t = first * kTileTokens; t < tokens; ++t) {
                double want = 0;
                for (int64_t i = 0; i < kCoords; ++i)
                    want += static_cast<double>(q[static_cast<size_t>(r * kCoords + i)]) *
                            keys[static_cast<size_t>(t * kCoords + i)];
                const auto got = scores[static_cast<size_t>(r * slots + t - first * kTileTokens)];
                EXPECT_NEAR(got, want, 2e-4);
            }
        }
    }
}

TEST_F(BlockKeys, BadBlocksAreRefusedByName) {
    const auto refused = [&](const char* setting, int64_t value, const std::string& what) {
        CodecSpec bad = exact();
        bad.map.settings[setting] = value;
        try {
            make_key_codec(bad, context());
            ADD_FAILURE() << what;
        } catch (const UsageError& e) {
            EXPECT_NE(std::string(e.what()).find(what), std::string::npos) << e.what();
        }
    };
    refused("slow_span", 96, "a block of 96 tokens");
    refused("fast_span", 8, "fast_span");
    refused("fast_span", 128, "fast_span");
    refused("fast_planes", 17, "fast_planes");
    refused("fast_planes", 5, "12 coordinates of 5 fast planes");
    refused("fast_coordinates", 10, "10 coordinates of 6 fast planes");
    refused("fast_width", 10, "fast_width");
    CodecSpec mixed = exact();
    const auto matrix = std::make_shared<Tensor>(
        Tensor::convert(mixed.map.tensors.at("encode")->view(), DType::kF32));
    matrix->f32()[kCoords - 1] = 0.5f;  // the first plane in the last coordinate
    mixed.map.tensors["encode"] = matrix;
    EXPECT_THROW(make_key_codec(mixed, context()), UsageError);
}

TEST_F(BlockKeys, HeadsThatSelectRefuseThem) {
    CachePlan plan = CachePlan::dense(1, 1);
    plan.layers[0][0].key = exact();
    plan.layers[0][0].policy = {"heavy_hitters", {{"recent", int64_t{8}}, {"heavy", int64_t{8}}}};
    const CacheShape shape = test::shape(1, kCoords, DType::kF32, test::rotary(kCoords));
    EXPECT_THROW(CacheLayout(plan, shape), UnsupportedError);
    plan.layers[0][0].key = test::coded(kCoords, kCoords, 4);
    EXPECT_NO_THROW(CacheLayout(plan, shape));
    plan.layers[0][0].exact_recent = 16;
    EXPECT_THROW(CacheLayout(plan, shape), UnsupportedError);
}

}  // namespace
}  // namespace lowkey
