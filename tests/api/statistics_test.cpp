#include "lowkey/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compress/calibration.h"
#include "compress/retrieval_scores.h"
#include "lowkey/error.h"
#include "lowkey/observe.h"
#include "lowkey/plan.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using ::testing::HasSubstr;

std::vector<int32_t> some_ids(int64_t count, int64_t seed) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i)
        ids.push_back(static_cast<int32_t>(3 + (i + seed) * 37 % 220));
    return ids;
}

class ApiStatistics : public TemporaryFolder {
protected:
    const std::string tiny_path_ = std::string(LOWKEY_TEST_DATA) + "/models/llama-gqa-tied";
    const api::Model tiny_ = api::Model::load(tiny_path_, {.dtype = api::Precision::kF32});
    const std::vector<std::vector<int32_t>> sequences_ = {some_ids(64, 0), some_ids(64, 9)};
};

TEST_F(ApiStatistics, AreThoseOfCalibration) {
    const auto got = api::Statistics::from_tokens(tiny_, sequences_);
    const auto model = Model::load(tiny_path_, {.dtype = DType::kF32});
    const CalibrationStats want = calibrate(*model, sequences_);
    EXPECT_EQ(got.num_tokens(), 128);
    EXPECT_EQ(got.length(), 64);
    EXPECT_THAT(got.kinds(), testing::IsSupersetOf({"K", "Q", "V", "O", "K_rot", "Q_rot"}));
    const auto gram = got.gram("V", 1, 1);
    ASSERT_EQ(gram.size(), 16 * 16);
    const auto all = want.rest.at("V").as<double>();
    EXPECT_TRUE(std::equal(gram.begin(), gram.end(), all.begin() + 3 * 256));

    got.save(path("tiny.stats"));
    const auto loaded = api::Statistics::load(path("tiny.stats"), tiny_);
    EXPECT_EQ(loaded.num_tokens(), 128);
    EXPECT_EQ(loaded.gram("V", 1, 1)[17], gram[17]);
    const api::Plan plan = api::Plan::make(
        tiny_, "eigen",
        {.settings = {{"keep", 0.5}, {"allocation", "uniform"}}, .statistics = loaded});
    EXPECT_EQ(plan.head(0, 0).value.map.name, "linear");
}

TEST_F(ApiStatistics, AreRefusedForAnotherModelAndBadInput) {
    const auto stats = api::Statistics::from_tokens(tiny_, sequences_);
    stats.save(path("tiny.stats"));
    const api::Model other = api::Model::load(std::string(LOWKEY_TEST_DATA) + "/models/llama-mha");
    EXPECT_THROW(api::Statistics::load(path("tiny.stats"), other), UsageError);
    EXPECT_THROW(api::Statistics::load(path("none"), tiny_), FileError);
    EXPECT_THAT(
        message_of<UsageError>([&] {
            api::Plan::make(other, "eigen", {.settings = {{"keep", 0.5}}, .statistics = stats});
        }),
        HasSubstr("statistics of another model"));
    EXPECT_THROW(static_cast<void>(stats.gram("W", 0, 0)), UsageError);
    EXPECT_THROW(static_cast<void>(stats.gram("K", 2, 0)), UsageError);
    EXPECT_THROW(static_cast<void>(stats.gram("K", 0, 2)), UsageError);
    EXPECT_THROW(api::Statistics::from_tokens(tiny_, {}), UsageError);
    EXPECT_THROW(api::Statistics::from_tokens(tiny_, {{1, 2, 999}}), UsageError);
    EXPECT_THROW(api::Statistics::from_tokens(tiny_, {{1, 2, 3}, {1, 2}}), UsageError);
    EXPECT_THROW(api::Statistics::from_text(tiny_, "text"), UnsupportedError);
    EXPECT_THROW(api::Statistics::from_model(tiny_), UnsupportedError);
    const api::Model small = api::Model::load("small");
    EXPECT_THROW(api::Statistics::from_text(small, "too short"), UsageError);
    EXPECT_THROW(api::Statistics::from_model(small, {.sequences = 0}), UsageError);
}

TEST_F(ApiStatistics, RetrievalScoresAreTheHighestOfAGroup) {
    const auto model = Model::load(tiny_path_, {.dtype = DType::kF32});
    const RetrievalScores want = score_retrieval(*model, some_ids(50, 0), 3);
    const api::RetrievalScores got =
        api::score_retrieval(tiny_, {.repeats = 3, .ids = some_ids(50, 0)});
    ASSERT_EQ(got.echo.size(), 2);
    ASSERT_EQ(got.echo[0].size(), 2);
    EXPECT_EQ(got.induction[1][1], std::max(want.induction[1][2], want.induction[1][3]));
    EXPECT_EQ(got.echo[1][0], std::max(want.echo[1][0], want.echo[1][1]));
    EXPECT_EQ(api::score_retrieval(tiny_, {.random_tokens = 30}).echo.size(), 2);
    EXPECT_THROW(api::score_retrieval(tiny_, {.repeats = 1}), UsageError);
    EXPECT_THROW(api::score_retrieval(tiny_, {.ids = {224}}), UsageError);
}

class RotatedKeys final : public ForwardObserver {
public:
    void on_rotated(const ObservedTokens& seen) override {
        keys_.insert(keys_.end(), seen.k, seen.k + 16);
    }
    std::vector<float> keys_;
};

TEST_F(ApiStatistics, ObserversSeeEveryLayer) {
    const std::vector<int32_t> ids = some_ids(20, 0);
    std::vector<float> keys;
    api::observe(tiny_, ids, [&](const api::LayerVectors& seen) {
        EXPECT_EQ(seen.num_tokens, 20);
        EXPECT_EQ(seen.num_heads, 4);
        EXPECT_EQ(seen.num_kv_heads, 2);
        EXPECT_DOUBLE_EQ(seen.softmax_scale, 0.25);
        EXPECT_EQ(seen.query(19, 3).size(), 16);
        EXPECT_EQ(seen.value(19, 1).data(), seen.values + 19 * seen.kv_stride + 16);
        const auto key = seen.key(0, 0);
        keys.insert(keys.end(), key.begin(), key.end());
    });
    const auto model = Model::load(tiny_path_, {.dtype = DType::kF32});
    const auto layout =
        std::make_shared<const CacheLayout>(CachePlan::dense(2, 2), model->cache_shape());
    PagePool pool(layout->peak_bytes(20, 20));
    SequenceCache cache(layout, pool);
    const SequenceInput input{&cache, ids, true};
    RotatedKeys want;
    static_cast<void>(model->forward({&input, 1}, &want));
    EXPECT_EQ(keys, want.keys_);

    EXPECT_THROW(api::observe(tiny_, ids, [](const auto&) { throw 1; }), int);
    EXPECT_THROW(api::observe(tiny_, {}, [](const auto&) {}), UsageError);
    EXPECT_THROW(api::observe(tiny_, std::vector<int32_t>{-1}, [](const auto&) {}), UsageError);
    EXPECT_THROW(api::observe(tiny_, some_ids(600, 0), [](const auto&) {}), UsageError);
}

}  // namespace
}  // namespace lowkey
