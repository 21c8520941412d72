#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lowkey {

/// Lines over two axes that start at 0.
struct LinePlot {
    struct Line {
        std::string name;
        std::vector<std::pair<double, double>> points;  ///< (x, y), finite, at least 0, x ascending
        bool dashed = false;                            ///< for what was computed, not measured
    };
    std::string title;
    std::string x_label;  ///< with its unit
    std::string y_label;
    std::vector<Line> lines = {};
    double x_step = 0;  ///< between numbers on the axis; 0: a round one
};

/// One SVG document, light or dark as its viewer is. Every point tells its numbers on hover.
std::string draw_line_plot(const LinePlot& plot);

}  // namespace lowkey
