#include "report/scatter_plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/report/well_formed.h"

namespace lowkey {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

ScatterPlot plot_of(const std::vector<std::pair<double, double>>& points, bool less_is_better) {
    ScatterPlot plot{
        .title = "t", .x_label = "x", .y_label = "y", .less_is_better = less_is_better};
    for (const auto& [x, y] : points)
        plot.points.push_back(
            {.name = {'p', static_cast<char>('0' + plot.points.size())}, .x = x, .y = y});
    return plot;
}

TEST(ScatterPlot, TheFrontIsWhatNoOtherBeats) {
    const std::vector<std::pair<double, double>> points = {{1, 0}, {0.5, 1}, {0.6, 2}, {0.2, 5}};
    EXPECT_THAT(pareto_front(plot_of(points, true)), ElementsAre(true, true, false, true));
    EXPECT_THAT(pareto_front(plot_of(points, false)), ElementsAre(false, false, false, true));
}

TEST(ScatterPlot, EqualPointsBothStay) {
    EXPECT_THAT(pareto_front(plot_of({{1, 1}, {1, 1}}, true)), ElementsAre(true, true));
    EXPECT_THAT(pareto_front(plot_of({{1, 1}, {1, 2}, {2, 1}}, true)),
                ElementsAre(true, false, false));
    EXPECT_THAT(pareto_front(plot_of({}, true)), ElementsAre());
}

TEST(ScatterPlot, DrawsNamesErrorsAndTheStair) {
    ScatterPlot plot = plot_of({{100, 0}, {50, 1}, {60, 3}}, true);
    plot.points[1].y_error = 0.5;
    plot.points[2].name = "<i>&";
    for (const svg::Use use : {svg::Use::kDocument, svg::Use::kInline}) {
        const std::string drawing = draw_scatter_plot(plot, use);
        EXPECT_EQ(xml_fault(drawing), "");
        EXPECT_THAT(drawing, AllOf(HasSubstr("&lt;i&gt;&amp;"), HasSubstr("class=\"front\""),
                                   HasSubstr("beaten by another"), Not(HasSubstr("nan"))));
    }
    EXPECT_EQ(xml_fault(draw_scatter_plot(plot_of({}, true))), "");
    EXPECT_EQ(xml_fault(draw_scatter_plot(plot_of({{0, 0}}, false))), "");
}

}  // namespace
}  // namespace lowkey
