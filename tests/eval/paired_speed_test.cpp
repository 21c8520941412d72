#include "eval/paired_speed.h"

#include <gtest/gtest.h>

#include "tests/eval/random_model.h"

namespace lowkey {
namespace {

TEST(PairedSpeed, TheMedianHasAnIntervalFromFiveRunsOn) {
    for (const size_t runs : {1u, 2u, 3u, 4u}) {
        const SpeedShare few = speed_share(std::vector<double>(runs, 0.5));
        EXPECT_EQ(few.median, 0.5);
        EXPECT_EQ(few.low, 0);
        EXPECT_EQ(few.high, 0) << "all of " << runs << " may lie on one side by chance";
    }
    const SpeedShare five = speed_share(std::vector<double>{1.2, 0.23, 1.0, 0.9, 1.1});
    EXPECT_EQ(five.median, 1.0);
    EXPECT_EQ(five.low, 0.23);
    EXPECT_EQ(five.high, 1.2);
    // Of a fair coin's 8 falls less than two are heads with a chance of 9/256, less than three with
    // 37/256; of 12 falls less than three with 79/4096.
    EXPECT_EQ(speed_share(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8}).low, 2);
    EXPECT_EQ(speed_share(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8}).high, 7);
    EXPECT_EQ(speed_share(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}).low, 3);
    EXPECT_EQ(speed_share(std::vector<double>{4, 2}).median, 3);
}

class PairedRuns : public RandomModel {};

TEST_F(PairedRuns, EveryCacheIsTimedBesideTheFirst) {
    const auto model = this->model();
    Engine full(model, CachePlan::dense(2, 2));
    Engine same(model, CachePlan::dense(2, 2));
    Engine* const engines[] = {&full, &same};
    const auto speeds =
        run_paired(engines, 32, {.prompts = {}, .depths = {}, .generate = 2, .repeat = 5});
    ASSERT_EQ(speeds.size(), 2);
    for (const PairedSpeed& speed : speeds) {
        EXPECT_EQ(speed.run.depth, 32);
        EXPECT_GT(speed.run.times.total(), 0);
        EXPECT_LE(speed.share.low, speed.share.median);
        EXPECT_GE(speed.share.high, speed.share.median);
        EXPECT_GT(speed.share.low, 0);
    }
    const auto alone = run_paired(std::span(engines).first(1), 0,
                                  {.prompts = {}, .depths = {}, .generate = 1, .repeat = 1});
    EXPECT_EQ(alone.front().share.high, 0) << "one run says nothing of noise";
}

}  // namespace
}  // namespace lowkey
