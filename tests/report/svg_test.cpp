#include "report/svg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/report/well_formed.h"

namespace lowkey::svg {
namespace {

using ::testing::ElementsAre;

TEST(Svg, AxesHaveRoundMarksAroundTheNumbers) {
    const Axis axis(0.12, 0.48, 5);
    EXPECT_DOUBLE_EQ(axis.low, 0.1);
    EXPECT_DOUBLE_EQ(axis.high, 0.5);
    EXPECT_EQ(axis.label(0.1), "0.1");
    EXPECT_EQ(std::ssize(axis.ticks()), 5);
    EXPECT_EQ(Axis(0, 16384, 6).label(5000), "5000");
    EXPECT_EQ(Axis(-3, 7, 5).label(0), "0");
    for (const auto& [low, high] : {std::pair(0.0, 0.0), {5.0, 5.0}, {-2.0, -2.0}, {0.0, 1e-9}}) {
        const Axis flat(low, high, 5);
        EXPECT_LE(flat.low, low);
        EXPECT_GT(flat.high, flat.low);
        EXPECT_TRUE(std::isfinite(flat.step));
    }
}

TEST(Svg, SpreadKeepsOrderAndDistance) {
    EXPECT_THAT(spread({10, 50}, 15, 0, 100), ElementsAre(10, 50));
    EXPECT_THAT(spread({40, 40, 40}, 10, 0, 100), ElementsAre(30, 40, 50));
    EXPECT_THAT(spread({1, 2}, 10, 0, 100), ElementsAre(0, 10)) << "not above the top";
    EXPECT_THAT(spread({99, 100}, 10, 0, 100), ElementsAre(90, 100)) << "nor below the bottom";
    EXPECT_THAT(spread({}, 10, 0, 100), ElementsAre());
}

TEST(Svg, ElementsEscapeTheirWordsAndAreWellFormed) {
    const std::string hostile = "<b>\"&'";
    std::string chart = open(10, 10, hostile, Use::kDocument);
    for (int shape = 0; shape < 12; ++shape)
        chart += marker(shape, shape, 5, 5, hostile, shape % 2);
    chart += text(1, 1, "start", hostile, "muted") + line("grid", 0, 0, 1, 1);
    chart.append(kClose);
    EXPECT_EQ(xml_fault(chart), "");
    EXPECT_EQ(chart.find("<b>"), std::string::npos);
}

}  // namespace
}  // namespace lowkey::svg
