#pragma once

#include <string>
#include <utility>
#include <vector>

#include "report/svg.h"

namespace lowkey {

/// Lines over two axes that start at 0.
struct LinePlot {
    /// Points that are joined.
    struct Line {
        std::string name;
        std::vector<std::pair<double, double>> points;  ///< (x, y), finite, at least 0, x ascending
        bool dashed = false;                            ///< for what was computed, not measured
        int series = -1;                                ///< its colour; -1: the next one
        int marker = 0;                                 ///< shape of its dots
    };
    std::string title;
    std::string x_label;  ///< with its unit
    std::string y_label;
    std::vector<Line> lines = {};
    /// Names stand at the lines' right ends, with as much room as they take; else in a legend
    /// below.
    bool name_ends = false;
    bool dots = true;
    double width = 720;
    double height = 420;
    double x_step = 0;  ///< between numbers on the x axis; 0: a round one
};

/// One SVG chart, light or dark as its viewer is. Every point tells its numbers on hover.
std::string draw_line_plot(const LinePlot& plot, svg::Use use = svg::Use::kDocument);

}  // namespace lowkey
