#include "report/heat_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/report/count.h"

namespace lowkey {
namespace {

using test::count;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(HeatMap, DrawsEveryCellWithItsValue) {
    HeatMap map{.title = "a < b", .row_label = "layer", .column_label = "head"};
    map.rows = {"0", "1"};
    map.columns = {"0", "1", "2"};
    map.values = {{0, 0.25, 0.5}, {0.75, 1, 0.125}};
    map.outlined = {{false, true, false}, {false, false, false}};
    const std::string svg = draw_heat_maps({map});
    EXPECT_EQ(svg.rfind("<svg ", 0), 0);
    EXPECT_THAT(svg, HasSubstr("a &lt; b"));
    EXPECT_THAT(svg, HasSubstr("layer 0, head 1: 0.25"));
    EXPECT_THAT(svg, HasSubstr(">0.75</text>"));
    EXPECT_EQ(count(svg, "<title>"), 6);
    EXPECT_EQ(count(svg, "stroke-width=\"2\""), 1);
    EXPECT_EQ(count(svg, "<rect"), 7);
}

TEST(HeatMap, ManyColumnsAndEqualValuesAreFine) {
    HeatMap map{.title = "wide", .row_label = "layer", .column_label = "head"};
    map.rows = {"0"};
    map.values.emplace_back();
    for (int i = 0; i < 64; ++i) {
        map.columns.push_back(std::to_string(i));
        map.values[0].push_back(3);
    }
    const std::string svg = draw_heat_maps({map, map});
    EXPECT_EQ(count(svg, "<title>"), 128);
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

}  // namespace
}  // namespace lowkey
