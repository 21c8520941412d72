#pragma once

#include <string>
#include <vector>

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
};

/// One SVG document with the maps below each other. Every cell tells its value on hover; few
/// columns have it written in them.
std::string draw_heat_maps(const std::vector<HeatMap>& maps);

}  // namespace lowkey
