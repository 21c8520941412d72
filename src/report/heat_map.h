#pragma once

#include <string>
#include <vector>

#include "report/svg.h"

namespace lowkey {

/// A table of numbers to be looked at.
struct HeatMap {
    std::string title;
    std::string row_label;
    std::string column_label;
    std::vector<std::string> rows = {};  ///< names, from the top
    std::vector<std::string> columns = {};
    std::vector<std::vector<double>> values = {};  ///< [rows][columns]
    /// The numbers of the palest and the darkest colour; equal: the least and largest value.
    double low = 0;
    double high = 0;
    std::vector<std::vector<bool>> outlined = {};  ///< cells with a frame, or empty
    bool values_in_cells = true;                   ///< where columns are few
    bool range_in_title = true;
};

/// One SVG chart with the maps below each other, light or dark as its viewer is. Every cell tells
/// its value on hover; few columns have it written in them.
std::string draw_heat_maps(const std::vector<HeatMap>& maps, svg::Use use = svg::Use::kDocument);

}  // namespace lowkey
