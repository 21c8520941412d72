#include "eval/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/escape.h"

namespace lowkey {
namespace {

constexpr int kCell = 22;
constexpr int kWideCell = 52;  // with its value written in it
constexpr size_t kFewColumns = 12;
constexpr int kLeft = 70;
constexpr int kTop = 44;
constexpr int kBottom = 40;

/// From pale to dark blue; of equal brightness steps, so that it reads in grey too.
std::string color(double share) {
    constexpr std::array<double, 3> kPale = {242, 246, 252};
    constexpr std::array<double, 3> kDark = {8, 48, 107};
    const double t = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0;
    std::array<int, 3> rgb{};
    for (size_t i = 0; i < 3; ++i)
        rgb[i] = static_cast<int>(std::lround(kPale[i] + (kDark[i] - kPale[i]) * t));
    return fmt::format("#{:02x}{:02x}{:02x}", rgb[0], rgb[1], rgb[2]);
}

struct Size {
    int width;
    int height;
};

int cell_width(const HeatMap& map) { return map.columns.size() <= kFewColumns ? kWideCell : kCell; }

Size size_of(const HeatMap& map) {
    return {kLeft + cell_width(map) * static_cast<int>(map.columns.size()) + 20,
            kTop + kCell * static_cast<int>(map.rows.size()) + kBottom};
}

std::pair<double, double> range_of(const HeatMap& map) {
    if (map.low != map.high) return {map.low, map.high};
    double low = INFINITY;
    double high = -INFINITY;
    for (const auto& row : map.values) {
        for (const double v : row) {
            low = std::min(low, v);
            high = std::max(high, v);
        }
    }
    return low < high ? std::pair(low, high) : std::pair(0.0, 1.0);
}

std::string draw(const HeatMap& map, int y0) {
    const auto [low, high] = range_of(map);
    const int width = cell_width(map);
    const auto columns = static_cast<int>(map.columns.size());
    const auto rows = static_cast<int>(map.rows.size());
    std::string svg =
        fmt::format("<text x=\"10\" y=\"{}\" font-size=\"14\">{} ({:.3g} to {:.3g})</text>\n",
                    y0 + 20, escape_html(map.title), low, high);
    for (int r = 0; r < rows; ++r) {
        const auto row = static_cast<size_t>(r);
        const int y = y0 + kTop + r * kCell;
        svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", kLeft - 6,
                           y + 15, escape_html(map.rows[row]));
        for (int c = 0; c < columns; ++c) {
            const auto column = static_cast<size_t>(c);
            const int x = kLeft + c * width;
            const double value = map.values[row][column];
            const double share = (value - low) / (high - low);
            const bool outlined = !map.outlined.empty() && map.outlined[row][column];
            svg += fmt::format(
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\" stroke=\"{}\" "
                "stroke-width=\"{}\"><title>{} {}, {} {}: {:.4g}</title></rect>\n",
                x + 1, y + 1, width - 2, kCell - 2, color(share), outlined ? "#d7301f" : "none",
                outlined ? 2 : 0, escape_html(map.row_label), escape_html(map.rows[row]),
                escape_html(map.column_label), escape_html(map.columns[column]), value);
            if (columns <= static_cast<int>(kFewColumns)) {
                svg += fmt::format(
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{}\" "
                    "pointer-events=\"none\">{:.3g}</text>\n",
                    x + width / 2, y + 15, share > 0.5 ? "#ffffff" : "#222222", value);
            }
        }
    }
    const int axis = y0 + kTop + rows * kCell;
    // Of many columns every few are named.
    const int step = std::max(1, columns / 16);
    for (int c = 0; c < columns; c += columns <= static_cast<int>(kFewColumns) ? 1 : step) {
        svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                           kLeft + c * width + width / 2, axis + 14,
                           escape_html(map.columns[static_cast<size_t>(c)]));
    }
    svg += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", kLeft, axis + 30,
                       escape_html(map.column_label));
    svg += fmt::format("<text x=\"10\" y=\"{}\">{}</text>\n", y0 + kTop - 8,
                       escape_html(map.row_label));
    return svg;
}

}  // namespace

std::string draw_heat_maps(const std::vector<HeatMap>& maps) {
    int width = 240;
    int height = 0;
    std::string body;
    for (const HeatMap& map : maps) {
        const Size size = size_of(map);
        body += draw(map, height);
        height += size.height;
        width = std::max(width, size.width);
    }
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
        "{1}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" "
        "fill=\"#ffffff\"/>\n{2}</svg>\n",
        width, height, body);
}

}  // namespace lowkey
