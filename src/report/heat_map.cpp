#include "report/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/shown_text.h"

namespace lowkey {
namespace {

constexpr int kCell = 22;
constexpr int kWideCell = 52;  // with its value written in it
constexpr size_t kFewColumns = 12;
constexpr int kLeft = 70;
constexpr int kTop = 44;
constexpr int kBottom = 40;

/// How much of the darkest colour covers a cell; even the palest is seen.
double opacity(double share) {
    constexpr double kPalest = 0.07;
    const double t = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0;
    return kPalest + (1 - kPalest) * t;
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

std::string title_of(const HeatMap& map) {
    if (!map.range_in_title) return map.title;
    const auto [low, high] = range_of(map);
    return fmt::format("{} ({:.3g} to {:.3g})", map.title, low, high);
}

struct Size {
    int width;
    int height;
};

bool writes_values(const HeatMap& map) {
    return map.values_in_cells && map.columns.size() <= kFewColumns;
}

int cell_width(const HeatMap& map) { return writes_values(map) ? kWideCell : kCell; }

Size size_of(const HeatMap& map) {
    constexpr int kMargin = 10;
    const auto end_of = [](int left, const std::string& words) {
        return left + static_cast<int>(std::ceil(svg::width_of(words)));
    };
    const int cells = kLeft + cell_width(map) * static_cast<int>(map.columns.size()) + kMargin;
    const int widest = std::max({cells, end_of(kMargin, title_of(map)),
                                 end_of(kMargin, map.row_label), end_of(kLeft, map.column_label)});
    return {widest + kMargin, kTop + kCell * static_cast<int>(map.rows.size()) + kBottom};
}

std::string draw_cell(const HeatMap& map, size_t row, size_t column, double share, int x, int y) {
    const int width = cell_width(map);
    const bool outlined = !map.outlined.empty() && map.outlined[row][column];
    const double value = map.values[row][column];
    std::string svg = fmt::format(
        "<rect class=\"cell{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" "
        "fill-opacity=\"{:.3g}\"{}><title>{} {}, {} {}: {:.4g}</title></rect>\n",
        outlined ? " framed" : "", x + 1, y + 1, width - 2, kCell - 2, opacity(share),
        outlined ? " stroke-width=\"2\"" : "", shown_html(map.row_label), shown_html(map.rows[row]),
        shown_html(map.column_label), shown_html(map.columns[column]), value);
    if (writes_values(map)) {
        svg += fmt::format(
            "<text{} x=\"{}\" y=\"{}\" text-anchor=\"middle\" "
            "pointer-events=\"none\">{:.3g}</text>\n",
            opacity(share) > 0.5 ? " class=\"on-cell\"" : "", x + width / 2, y + 15, value);
    }
    return svg;
}

std::string draw(const HeatMap& map, int y0) {
    const auto [low, high] = range_of(map);
    const int width = cell_width(map);
    const auto columns = static_cast<int>(map.columns.size());
    const auto rows = static_cast<int>(map.rows.size());
    std::string svg = svg::text(10, y0 + 20, "start", title_of(map), "strong");
    for (int r = 0; r < rows; ++r) {
        const auto row = static_cast<size_t>(r);
        const int y = y0 + kTop + r * kCell;
        svg += svg::text(kLeft - 6, y + 15, "end", map.rows[row], "muted");
        for (int c = 0; c < columns; ++c) {
            const auto column = static_cast<size_t>(c);
            const double share = (map.values[row][column] - low) / (high - low);
            svg += draw_cell(map, row, column, share, kLeft + c * width, y);
        }
    }
    const int axis = y0 + kTop + rows * kCell;
    // Of many columns every few are named.
    const int step = columns <= static_cast<int>(kFewColumns) ? 1 : std::max(1, columns / 16);
    for (int c = 0; c < columns; c += step) {
        svg += svg::text(kLeft + c * width + width / 2, axis + 14, "middle",
                         map.columns[static_cast<size_t>(c)], "muted");
    }
    svg += svg::text(kLeft, axis + 30, "start", map.column_label, "muted");
    svg += svg::text(10, y0 + kTop - 8, "start", map.row_label, "muted");
    return svg;
}

}  // namespace

std::string draw_heat_maps(const std::vector<HeatMap>& maps, svg::Use use) {
    int width = 0;
    int height = 0;
    std::string body;
    for (const HeatMap& map : maps) {
        const Size size = size_of(map);
        body += draw(map, height);
        height += size.height;
        width = std::max(width, size.width);
    }
    const std::string label = maps.empty() ? "" : maps.front().title;
    return svg::open(width, height, label, use) + body.append(svg::kClose);
}

}  // namespace lowkey
