#include "model/fold.h"

#include <gtest/gtest.h>

#include "compress/eigen_planner.h"
#include "tests/compress/golden.h"

namespace lowkey {
namespace {

using test::Golden;

/// Logits with the plan as it is, folding nothing.
std::vector<float> unfolded_logits(const Golden& golden, const CachePlan& plan,
                                   const std::vector<int32_t>& ids) {
    const auto layout = std::make_shared<const CacheLayout>(plan, golden.model->cache_shape());
    PagePool pool(layout->bytes_for(static_cast<int64_t>(ids.size())));
    SequenceCache cache(layout, pool);
    const SequenceInput input{&cache, ids, true};
    const Tensor hidden = golden.model->forward({&input, 1});
    std::vector<float> logits(ids.size() * static_cast<size_t>(golden.model->config().vocab_size));
    golden.model->logits(hidden.f32().data(), static_cast<int64_t>(ids.size()), logits.data());
    return logits;
}

TEST(Fold, FoldedWeightsGiveTheSameLogits) {
    for (const std::string& name : test::golden_names()) {
        SCOPED_TRACE(name);
        const Golden golden(name);
        const CalibrationStats stats = golden.calibrate();
        const PlanFile file =
            make_eigen_plan({golden.model,
                             &stats,
                             {{"energy-threshold", 0.95}, {"exact-sinks", int64_t{0}}},
                             std::nullopt});
        const FoldedModel folded = fold(golden.model, file.plan);
        EXPECT_NE(folded.model, golden.model);
        const bool rotary = golden.model->rotates();
        for (size_t layer = 0; layer < folded.plan.layers.size(); ++layer) {
            for (size_t h = 0; h < folded.plan.layers[layer].size(); ++h) {
                const auto& ranks = file.measured["layers"][layer];
                const auto& dims = folded.model->weights().layers[layer].kv_heads[h];
                EXPECT_EQ(folded.plan.layers[layer][h].value.map.name, "identity");
                EXPECT_EQ(dims.value_dim, ranks["value_ranks"][h].get<int64_t>());
                // Rotation stands between the key projection and a basis: keys fold without it
                // only.
                EXPECT_EQ(dims.key_dim, rotary ? golden.model->config().head_dim
                                               : ranks["key_ranks"][h].get<int64_t>());
            }
        }
        Engine engine(golden.model, file.plan);
        const auto ids = golden.ids("test.ids").front();
        const auto got = test::logits_of(engine, ids, static_cast<int64_t>(ids.size()));
        const auto want = unfolded_logits(golden, file.plan, ids);
        for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-4);
    }
}

TEST(Fold, LeavesWhatNeedsWholeVectors) {
    const Golden golden("opt");
    const CalibrationStats stats = golden.calibrate();
    PlanRequest request{golden.model, &stats, {{"energy-threshold", 0.9}}, std::nullopt};
    EXPECT_EQ(fold(golden.model, make_eigen_plan(request).plan).model, golden.model)
        << "exact sinks";
    request.settings["exact-sinks"] = int64_t{0};
    request.prefill_attention = PrefillAttention::kExact;
    EXPECT_EQ(fold(golden.model, make_eigen_plan(request).plan).model, golden.model)
        << "exact prefill";
    const CachePlan dense =
        CachePlan::dense(golden.model->config().num_layers, golden.model->config().num_kv_heads);
    EXPECT_EQ(fold(golden.model, dense).model, golden.model) << "nothing to fold";
}

TEST(Fold, ExactPrefillAttendsToUncompressedTokens) {
    const Golden golden("qwen2");
    const CalibrationStats stats = golden.calibrate();
    const PlanFile file = make_eigen_plan(
        {golden.model, &stats, {{"energy-threshold", 0.8}}, PrefillAttention::kExact});
    Engine engine(golden.model, file.plan);
    const auto ids = golden.ids("test.ids").front();
    const auto got = test::logits_of(engine, ids, static_cast<int64_t>(ids.size()));
    const auto want = golden.numbers.tensor("test.logits").as<float>();
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-4);
    // Decoding goes through the compressed cache, so it differs.
    const auto decoded = test::logits_of(engine, ids, 20);
    double largest = 0;
    for (size_t i = 0; i < want.size(); ++i)
        largest = std::max<double>(largest, std::abs(decoded[i] - want[i]));
    EXPECT_GT(largest, 1e-3);
}

}  // namespace
}  // namespace lowkey
