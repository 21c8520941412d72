#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/svg.h"

namespace lowkey {

/// Things by what they cost and what they are worth.
struct ScatterPlot {
    /// One of the things.
    struct Point {
        std::string name = {};
        double x = 0;
        double y = 0;
        double y_error = 0;        ///< half the length of its bar; 0: none
        int series = 0;            ///< colour and shape
        std::string details = {};  ///< told on hover, behind the name
    };
    std::string title = {};
    std::string x_label = {};  ///< what it costs: the less the better
    std::string y_label = {};
    bool less_is_better = true;      ///< of y
    std::vector<Point> points = {};  ///< finite
    /// All that y can be; the axis does not leave it.
    std::optional<std::pair<double, double>> y_range = {};
    double width = 460;  ///< at least: a longer title makes it wider
    double height = 340;
};

/// Which points no other one beats: one of no greater cost and no smaller worth that is better in
/// one of them. Equal points beat each other not.
std::vector<bool> pareto_front(const ScatterPlot& plot);

/// One SVG chart: points of the front full and joined by a dotted stair, beaten ones hollow, each
/// with its name beside it.
std::string draw_scatter_plot(const ScatterPlot& plot, svg::Use use = svg::Use::kDocument);

}  // namespace lowkey
