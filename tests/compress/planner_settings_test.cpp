#include "compress/planner_settings.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <set>

#include "base/error.h"
#include "compress/planner.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using Type = SettingInfo::Type;

const std::vector<SettingInfo>& table() {
    static const std::vector<SettingInfo> rows = {
        {.name = "keep", .type = Type::kNumber, .what = "", .high = 1, .above_low = true},
        {.name = "window",
         .type = Type::kInteger,
         .what = "",
         .fallback = int64_t{7},
         .low = 1,
         .high = 100},
        {.name = "basis",
         .type = Type::kText,
         .what = "",
         .fallback = std::string("a"),
         .choices = {"a", "b"}},
        {.name = "reindex", .type = Type::kFlag, .what = ""}};
    return rows;
}

std::string refusal(const Settings& given) {
    return message_of<UsageError>([&] { const PlannerSettings read("method", table(), given); });
}

TEST(PlannerSettings, WhatIsWrongIsRefusedByName) {
    const std::vector<std::pair<Settings, std::string>> wrong = {
        {{{"kept", 0.5}}, "--kept is not a setting of this method: --method method"},
        {{{"keep", 0.0}}, "--keep"},
        {{{"keep", 1.5}}, "above 0 and up to 1"},
        {{{"keep", std::numeric_limits<double>::quiet_NaN()}}, "--keep"},
        {{{"keep", std::string("half")}}, "expected a number: --keep"},
        {{{"window", int64_t{0}}}, "1 to 100"},
        {{{"window", 5.0}}, "expected a whole number: --window"},
        {{{"basis", std::string("c")}}, "known are a, b"},
        {{{"reindex", int64_t{1}}}, "--reindex"}};
    for (const auto& [given, what] : wrong)
        EXPECT_NE(refusal(given).find(what), std::string::npos) << refusal(given);
}

TEST(PlannerSettings, WhatWasGivenOrReadIsRecorded) {
    PlannerSettings settings("method", table(), {{"keep", int64_t{1}}});
    EXPECT_EQ(settings.number("keep"), 1.0);
    EXPECT_FALSE(settings.has("window"));
    EXPECT_EQ(settings.all().size(), 1u) << "a fallback that nobody read says nothing";
    EXPECT_EQ(settings.integer("window"), 7);
    settings.decide("basis", std::string("b"));
    EXPECT_EQ(settings.text("basis"), "b");
    EXPECT_FALSE(settings.flag("reindex"));
    EXPECT_EQ(settings.all(),
              (Settings{{"keep", 1.0}, {"window", int64_t{7}}, {"basis", std::string("b")}}));
    EXPECT_THROW(settings.exclude("keep", "window"), UsageError);
    EXPECT_THROW(settings.integer_within("window", 7, 1, 5), UsageError);
}

// The command line has one flag for a name, whichever planner reads it.
TEST(PlannerSettings, PlannersThatShareANameMeanOneType) {
    std::map<std::string, Type> types;
    for (const Planner& planner : planners()) {
        std::set<std::string> own;
        for (const SettingInfo& info : planner.settings()) {
            EXPECT_TRUE(own.insert(info.name).second) << planner.name << " " << info.name;
            const auto [row, added] = types.try_emplace(info.name, info.type);
            EXPECT_EQ(row->second, info.type) << info.name;
            EXPECT_STRNE(info.what, "") << info.name;
            if (!info.fallback) continue;
            const Settings given = {{info.name, *info.fallback}};
            EXPECT_NO_THROW(PlannerSettings(planner.name, planner.settings(), given)) << info.name;
        }
    }
}

}  // namespace
}  // namespace lowkey
