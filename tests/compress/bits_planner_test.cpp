// Plans in few bits, on the built-in model: random weights have no vectors worth coding.
#include <gtest/gtest.h>

#include "base/error.h"
#include "compress/calibration.h"
#include "compress/eigen_planner.h"
#include "kernels/coded.h"
#include "model/model.h"

namespace lowkey {
namespace {

class BitsPlanner : public ::testing::Test {
protected:
    static void SetUpTestSuite() {
        model_ = Model::load(LOWKEY_SMALL_MODEL, {DType::kF32, 512});
        stats_ = std::make_unique<CalibrationStats>(
            calibrate(*model_, sample_sequences(*model_, 1, 100, 1, 0)));
    }
    static void TearDownTestSuite() {
        stats_.reset();
        model_.reset();
    }
    [[nodiscard]] static PlanFile plan(const Settings& settings) {
        return make_eigen_plan({model_, stats_.get(), settings});
    }

    static inline std::shared_ptr<const Model> model_;
    static inline std::unique_ptr<CalibrationStats> stats_;
};

TEST_F(BitsPlanner, TakesTheBitsThatWereAskedFor) {
    const int64_t d = model_->config().head_dim;
    for (const double bits : {2.5, 1.0}) {
        const PlanFile file = plan({{"bits", bits}});
        // Widths are of runs: a head's sum falls short of it by a run of one bit at most.
        const double short_of = static_cast<double>(kRunCoords) / static_cast<double>(2 * d);
        EXPECT_LE(file.measured.at("bits").get<double>(), bits);
        EXPECT_GE(file.measured.at("bits").get<double>(), bits - short_of);
        for (const auto& layer : file.plan.layers) {
            for (const HeadPlan& head : layer) {
                EXPECT_EQ(head.exact_sinks, 4);
                EXPECT_EQ(head.exact_recent, 32);
                double code_bits = 8;  // two scales
                for (const CodecSpec* spec : {&head.key, &head.value}) {
                    for (const float width : spec->store.tensors.at("widths")->f32())
                        code_bits += static_cast<double>(width) * kRunCoords;
                }
                EXPECT_LE(code_bits, bits * static_cast<double>(2 * d));
            }
        }
        const CacheLayout layout(file.plan, model_->cache_shape());
        EXPECT_LT(layout.head(0, 0).body.tile_bytes(),
                  bits * static_cast<double>(2 * d * kTileTokens / 8) + 1);
    }
}

TEST_F(BitsPlanner, KeysAndValuesMayDiffer) {
    const PlanFile file = plan({{"key-bits", 2.0}, {"value-bits", 4.0}});
    const auto& row = file.measured.at("layers").at(0);
    EXPECT_NEAR(row.at("key_bits").at(0).get<double>(), 2, 0.2);
    EXPECT_NEAR(row.at("value_bits").at(0).get<double>(), 4, 0.2);
}

TEST_F(BitsPlanner, EveryKeySpaceRuns) {
    for (const char* space : {"in-block", "before-rotation", "after-rotation"}) {
        const PlanFile file =
            plan({{"bits", 3.0}, {"key-space", std::string(space)}, {"exact-recent", int64_t{0}}});
        const CacheLayout layout(file.plan, model_->cache_shape());
        EXPECT_EQ(layout.head(0, 0).body.key->before_rotation(),
                  std::string(space) == "before-rotation");
        EXPECT_EQ(layout.head(0, 0).body.key->any_order(), std::string(space) != "in-block");
    }
}

TEST_F(BitsPlanner, RefusesWhatDoesNotGoTogether) {
    EXPECT_THROW(static_cast<void>(plan({{"bits", 3.0}, {"keep", 0.5}})), UsageError);
    EXPECT_THROW(static_cast<void>(plan({{"key-bits", 3.0}})), UsageError);
    EXPECT_THROW(static_cast<void>(plan({{"bits", 9.0}})), UsageError);
    EXPECT_THROW(static_cast<void>(plan({{"bits", 0.0}})), UsageError);
    EXPECT_THROW(static_cast<void>(plan({{"bits", 3.0}, {"fast-planes", int64_t{3}}})), UsageError);
    EXPECT_THROW(static_cast<void>(plan({{"bits", 3.0}, {"key-space", std::string("sideways")}})),
                 UsageError);
}

}  // namespace
}  // namespace lowkey
