#include "compress/eigen_planner.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "compress/divergence.h"
#include "compress/layer_runner.h"
#include "tests/compress/golden.h"

namespace lowkey {
namespace {

using test::Golden;

class GoldenEigen : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenEigen, EveryCaseHasTheReferencesRanksErrorsAndLogits) {
    const Golden golden(GetParam());
    const CalibrationStats stats = golden.calibrate();
    const std::vector<int32_t> test_ids = golden.ids("test.ids").front();
    for (const auto& [name, c] : golden.about["cases"].items()) {
        SCOPED_TRACE(name);
        PlanRequest request{golden.model, &stats, {}, PrefillAttention::kCompressed};
        if (c.contains("budget")) {
            request.settings["error-budget"] = c["budget"].get<double>();
        } else {
            request.settings["energy-threshold"] = c["eps"][0].get<double>();
        }
        for (const auto& [key, flag] :
             {std::pair("energy", "energy"), std::pair("ranks", "ranks"),
              std::pair("keys", "key-basis"), std::pair("values", "value-basis")}) {
            request.settings[flag] = c[key].get<std::string>();
        }
        request.settings["exact-sinks"] = int64_t{0};
        const PlanFile file = make_eigen_plan(request);
        for (size_t layer = 0; layer < file.plan.layers.size(); ++layer) {
            const auto& measured = file.measured["layers"][layer];
            EXPECT_EQ(measured["key_ranks"], c["rank_k"][layer]);
            EXPECT_EQ(measured["value_ranks"], c["rank_v"][layer]);
            EXPECT_NEAR(measured["error"].get<double>(), c["layer_errors"][layer].get<double>(),
                        1e-5);
        }
        EXPECT_NEAR(file.measured["keep"].get<double>(), c["keep"].get<double>(), 1e-9);
        Engine engine(golden.model, file.plan);
        const auto want = golden.numbers.tensor(name + ".logits").as<float>();
        for (const int64_t prompt : {static_cast<int64_t>(test_ids.size()), int64_t{5}}) {
            const std::vector<float> got = test::logits_of(engine, test_ids, prompt);
            double worst = 0;
            for (size_t i = 0; i < want.size(); ++i)
                worst = std::max<double>(worst, std::abs(got[i] - want[i]));
            EXPECT_LE(worst, 1e-4) << "prefill " << prompt;
        }
    }
}

TEST_P(GoldenEigen, FullRankIsTheUncompressedModel) {
    const Golden golden(GetParam());
    const CalibrationStats stats = golden.calibrate();
    PlanRequest request{golden.model, &stats, {{"energy-threshold", 1.0}}, std::nullopt};
    Engine engine(golden.model, make_eigen_plan(request).plan);
    const std::vector<int32_t> ids = golden.ids("test.ids").front();
    const std::vector<float> got = test::logits_of(engine, ids, 7);
    const auto want = golden.numbers.tensor("test.logits").as<float>();
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-4);
}

TEST_P(GoldenEigen, KeepIsMetInPagesByEveryAllocation) {
    const Golden golden(GetParam());
    const CalibrationStats stats = golden.calibrate();
    for (const char* allocation : {"loss", "error", "energy", "uniform"}) {
        for (const double keep : {0.25, 0.6}) {
            PlanRequest request{golden.model, &stats, {{"keep", keep}}, std::nullopt};
            request.settings["allocation"] = std::string(allocation);
            const PlanFile file = make_eigen_plan(request);
            // Heads of 16 coordinates give coarse steps; uniform ranks do not look at pages.
            const double share = file.measured["page_share"].get<double>();
            EXPECT_LE(share, keep + (std::string(allocation) == "uniform" ? 0.1 : 1e-9))
                << allocation;
            EXPECT_GE(share, 0.3 * keep) << allocation;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenEigen, ::testing::ValuesIn(test::golden_names()),
                         [](const auto& test) { return test::test_name(test.param); });

TEST(EigenPlanner, MeasuredLossesBeatUniformRanks) {
    // On the built-in model: random weights have no likelihood worth keeping.
    const auto model = Model::load(LOWKEY_SMALL_MODEL, {DType::kF32, 512});
    const CalibrationStats stats = calibrate(*model, sample_sequences(*model, 8, 256, 1, 0));
    const auto scored = sample_sequences(*model, 8, 256, 2, 0);
    const LayerRunner runner(model, scored);
    const auto nll = [&](const std::string& allocation) {
        const PlanFile file = make_eigen_plan(
            {model, &stats, {{"keep", 0.4}, {"allocation", allocation}}, std::nullopt});
        Tensor hidden = runner.embed();
        runner.run_from(0, file.plan, hidden);
        return mean_nll(*model, hidden, scored);
    };
    EXPECT_LT(nll("loss"), nll("uniform"));
}

TEST(EigenPlanner, UniformRanksOfKeysAreWholePairs) {
    const Golden golden("qwen2");  // heads of 16 coordinates
    const CalibrationStats stats = golden.calibrate();
    const auto ranks = [&](double keep) {
        const PlanFile file =
            make_eigen_plan({golden.model,
                             &stats,
                             {{"keep", keep}, {"allocation", std::string("uniform")}},
                             std::nullopt});
        const HeadPlan& head = file.plan.layers.front().front();
        return std::pair(head.key.map.tensors.at("encode")->dim(1),
                         head.value.map.tensors.at("encode")->dim(1));
    };
    EXPECT_EQ(ranks(0.5), std::pair(int64_t{8}, int64_t{8}));
    EXPECT_EQ(ranks(0.7), std::pair(int64_t{12}, int64_t{10}));
    EXPECT_EQ(ranks(0.05), std::pair(int64_t{1}, int64_t{1}));
}

TEST(EigenPlanner, RefusesSettingsThatMakeNoSense) {
    const Golden golden("qwen2");
    const CalibrationStats stats = golden.calibrate();
    const auto make = [&](const Settings& settings, const CalibrationStats* given) {
        return make_eigen_plan({golden.model, given, settings, std::nullopt});
    };
    EXPECT_THROW(make({{"keep", 0.5}}, nullptr), UsageError);
    EXPECT_THROW(make({}, &stats), UsageError);
    EXPECT_THROW(make({{"keep", 0.5}, {"error-budget", 0.1}}, &stats), UsageError);
    EXPECT_THROW(make({{"keep", 1.5}}, &stats), UsageError);
    EXPECT_THROW(make({{"keep", 0.0}}, &stats), UsageError);
    EXPECT_THROW(make({{"keep", 0.05}, {"preset", std::string("paper")}}, &stats), UsageError)
        << "its thresholds end at 0.3";
    EXPECT_THROW(make({{"keep", 0.5}, {"window", int64_t{64}}}, &stats), UsageError);
    EXPECT_THROW(make({{"keep", 0.5}, {"allocation", std::string("magic")}}, &stats), UsageError);
    EXPECT_THROW(make({{"keep", 0.5}, {"key-basis", std::string("magic")}}, &stats), UsageError);
    EXPECT_THROW(make({{"keep", 0.5}, {"exact-sinks", int64_t{-1}}}, &stats), UsageError);
    EXPECT_THROW(make({{"keep", 0.5}, {"preset", std::string("magic")}}, &stats), UsageError);
}

TEST(EigenPlanner, ThePaperPresetIsThePaper) {
    const Golden golden("opt");
    const CalibrationStats stats = golden.calibrate();
    const PlanFile file = make_eigen_plan(
        {golden.model, &stats, {{"keep", 0.6}, {"preset", std::string("paper")}}, std::nullopt});
    EXPECT_EQ(file.settings["key-basis"], "joint");
    EXPECT_EQ(file.settings["value-basis"], "values");
    EXPECT_EQ(file.settings["ranks"], "per-layer");
    for (const auto& heads : file.plan.layers) {
        for (const HeadPlan& head : heads) EXPECT_EQ(head.exact_sinks, 0);
    }
}

}  // namespace
}  // namespace lowkey
