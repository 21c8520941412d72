#include "report/line_plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/report/count.h"

namespace lowkey {
namespace {

using test::count;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(LinePlot, DrawsEveryPointAxesAndLegend) {
    LinePlot plot{.title = "a < b", .x_label = "tokens & more", .y_label = "ms"};
    plot.lines = {{.name = "step", .points = {{0, 10}, {65536, 93}}},
                  {.name = "limit", .points = {{0, 9}, {65536, 80}}, .dashed = true}};
    const std::string svg = draw_line_plot(plot);
    EXPECT_EQ(svg.rfind("<svg ", 0), 0);
    EXPECT_THAT(svg, AllOf(HasSubstr("a &lt; b"), HasSubstr("tokens &amp; more"),
                           HasSubstr("step: 93 at 65536"), HasSubstr("prefers-color-scheme")));
    EXPECT_EQ(count(svg, "<circle"), 4);
    EXPECT_EQ(count(svg, "line dashed"), 2);  // the line and its sample
    // Round steps that reach past the largest number.
    EXPECT_THAT(svg, AllOf(HasSubstr(">80000</text>"), HasSubstr(">100</text>"),
                           HasSubstr(">20</text>"), Not(HasSubstr(">120</text>"))));
}

TEST(LinePlot, AStepOfTheAxisMayBeGiven) {
    LinePlot plot{.title = "steps", .x_label = "tokens", .y_label = "ms", .x_step = 16384};
    plot.lines = {{.name = "step", .points = {{0, 10}, {65536, 93}}}};
    EXPECT_THAT(draw_line_plot(plot), AllOf(HasSubstr(">16384</text>"), HasSubstr(">65536</text>"),
                                            Not(HasSubstr(">20000</text>"))));
}

TEST(LinePlot, NothingAndZerosAreFine) {
    LinePlot plot{.title = "empty", .x_label = "x", .y_label = "y"};
    for (const auto& points : {std::vector<std::pair<double, double>>{}, {{0, 0}}, {{5, 0}}}) {
        plot.lines = {{.name = "line", .points = points}};
        const std::string svg = draw_line_plot(plot);
        EXPECT_THAT(svg, AllOf(Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
        EXPECT_EQ(count(svg, "<circle"), points.size());
    }
}

}  // namespace
}  // namespace lowkey
