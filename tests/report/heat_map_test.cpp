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

TEST(HeatMap, IsAsWideAsItsWords) {
    const auto width_of = [](const HeatMap& map) {
        const std::string svg = draw_heat_maps({map});
        const std::string begin = " width=\"";
        return std::stod(svg.substr(svg.find(begin) + begin.size()));
    };
    HeatMap map{.title = "t", .row_label = "r", .column_label = "c"};
    map.rows = {"0"};
    map.columns = {"0"};
    map.values = {{1}};
    const double narrow = width_of(map);
    EXPECT_LT(narrow, 200);
    const std::string words(60, 'w');
    for (std::string HeatMap::*member :
         {&HeatMap::title, &HeatMap::row_label, &HeatMap::column_label}) {
        HeatMap wide = map;
        wide.*member = words;
        EXPECT_GE(width_of(wide), 10 + svg::width_of(words) + 10);
    }
    map.title = "長い題名長い題名長い題名";
    EXPECT_GE(width_of(map), 10 + 12 * 12 + 10) << "characters that are as wide as high";
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
