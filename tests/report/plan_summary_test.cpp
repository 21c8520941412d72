#include "report/plan_summary.h"

#include <gtest/gtest.h>

namespace lowkey {
namespace {

PlanFile plan_of(const nlohmann::json& settings) {
    PlanFile file;
    file.plan = CachePlan::dense(2, 1);
    file.method = "eigen";
    file.head_dim = 64;
    file.settings = settings;
    return file;
}

TEST(PlanSummary, TakesErrorsAndScoresThatFitThePlan) {
    PlanFile file = plan_of(nlohmann::json::object());
    file.measured = {{"layers", {{{"error", 0.5}}, {{"error", nullptr}}}},
                     {"echo", {{0.1, 0.2}, {0.3, 0.4}}}};
    const ComparedCache cache = summarize_plan("a", file);
    ASSERT_EQ(cache.layers.size(), 2u);
    EXPECT_EQ(cache.layers[0].error, 0.5);
    EXPECT_FALSE(cache.layers[1].error);
    EXPECT_EQ(cache.layers[0].key_ranks, std::vector<int64_t>{64});
    ASSERT_EQ(cache.head_scores.size(), 1u);
    EXPECT_EQ(cache.head_scores[0].values[1][1], 0.4);
    EXPECT_TRUE(cache.head_scores[0].kept_whole[0][0]);
}

TEST(PlanSummary, IgnoresTablesOfAnotherShape) {
    for (const nlohmann::json& echo :
         {nlohmann::json(3), nlohmann::json({{0.1}}), nlohmann::json({{0.1}, {0.1, 0.2}}),
          nlohmann::json({{"a"}, {"b"}}), nlohmann::json({nlohmann::json::array(), {1}})}) {
        PlanFile file = plan_of(nlohmann::json::object());
        file.measured = {{"echo", echo}, {"layers", "none"}};
        const ComparedCache cache = summarize_plan("a", file);
        EXPECT_TRUE(cache.head_scores.empty()) << echo;
        EXPECT_FALSE(cache.layers[0].error);
    }
}

}  // namespace
}  // namespace lowkey
