#include "compress/plan_command.h"

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

TEST(PlanCommand, SettingsAreFlags) {
    const nlohmann::json nothing = nlohmann::json::object();
    EXPECT_EQ(plan_command("model", "a.plan", plan_of({{"keep", 0.6}, {"calibration", nothing}})),
              "lowkey plan model --method eigen --keep 0.6 --stats STATS -o a.plan");
    EXPECT_EQ(
        plan_command("model", "a.plan", plan_of({{"calibration", nothing}, {"stats", "my stats"}})),
        "lowkey plan model --method eigen --stats 'my stats' -o a.plan");
    EXPECT_EQ(plan_command("my model", "it's.plan", plan_of({{"reindex", true}, {"x", false}})),
              "lowkey plan 'my model' --method eigen --reindex -o 'it'\\''s.plan'");
    EXPECT_EQ(plan_command("m", "a.plan", plan_of({{"ids", "-x; rm *"}})),
              "lowkey plan m --method eigen --ids='-x; rm *' -o a.plan");
}

TEST(PlanCommand, PartsAreNamedAsTheyWere) {
    const nlohmann::json parts = {{{"method", "razor"}},
                                  {{"method", "eigen"}, {"plan", "plans/e 1.plan"}}};
    EXPECT_EQ(plan_command("m", "b.plan", plan_of({{"parts", parts}})),
              "lowkey plan m --compose razor.plan 'plans/e 1.plan' -o b.plan");
}

}  // namespace
}  // namespace lowkey
