#include "eval/line_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/escape.h"

namespace lowkey {
namespace {

constexpr double kWidth = 720;
constexpr double kHeight = 420;
constexpr double kLeft = 70;
constexpr double kRight = 20;
constexpr double kTop = 50;
constexpr double kBottom = 90;  // the axis and, below it, the legend
constexpr double kLegendWidth = 160;
constexpr int kTicks = 6;
constexpr size_t kColors = 4;

// Colours that people who see few can tell apart (Okabe and Ito), lighter on dark ground.
constexpr char kStyle[] =
    "<style>\n"
    "svg { --ground: #ffffff; --ink: #222222; --grid: #e4e4e4;\n"
    "  --line0: #0072b2; --line1: #d55e00; --line2: #009e73; --line3: #a8558a; }\n"
    "@media (prefers-color-scheme: dark) {\n"
    "  svg { --ground: #16181c; --ink: #d8d8d8; --grid: #33363c;\n"
    "    --line0: #56b4e9; --line1: #f0915a; --line2: #2bc99a; --line3: #e5a3cb; }\n"
    "}\n"
    "text { fill: var(--ink); } .grid { stroke: var(--grid); } .axis { stroke: var(--ink); }\n"
    ".line { fill: none; stroke-width: 2; } .dashed { stroke-dasharray: 6 4; }\n"
    "</style>\n";

/// An axis from 0 to a multiple of `step`, which is 1, 2 or 5 times a power of ten if not given.
struct Axis {
    double step = 1;
    double end = 1;

    explicit Axis(double largest, double given_step = 0) {
        if (!(largest > 0)) return;
        const double rough = largest / kTicks;
        const double power = std::pow(10.0, std::floor(std::log10(rough)));
        const double digit = rough / power;
        step = power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
        if (given_step > 0) step = given_step;
        end = step * std::ceil(largest / step);
    }
    [[nodiscard]] int num_ticks() const { return static_cast<int>(std::lround(end / step)); }
};

double x_of(double share) { return kLeft + share * (kWidth - kLeft - kRight); }
double y_of(double share) { return kHeight - kBottom - share * (kHeight - kTop - kBottom); }

std::string text(double x, double y, const char* anchor, const std::string& words) {
    return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y,
                       anchor, escape_html(words));
}

std::string line(const char* css_class, double x1, double y1, double x2, double y2) {
    return fmt::format(
        "<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", css_class,
        x1, y1, x2, y2);
}

std::string draw_axes(const LinePlot& plot, const Axis& x, const Axis& y) {
    std::string svg;
    for (int i = 0; i <= y.num_ticks(); ++i) {
        const double at = y_of(i * y.step / y.end);
        svg += line(i == 0 ? "axis" : "grid", x_of(0), at, x_of(1), at);
        svg += text(x_of(0) - 8, at + 4, "end", fmt::format("{:.6g}", i * y.step));
    }
    for (int i = 0; i <= x.num_ticks(); ++i) {
        const double at = x_of(i * x.step / x.end);
        svg += line("axis", at, y_of(0), at, y_of(0) + 4);
        svg += text(at, y_of(0) + 18, "middle", fmt::format("{:.6g}", i * x.step));
    }
    svg += text(x_of(0.5), y_of(0) + 38, "middle", plot.x_label);
    svg += text(10, kTop - 14, "start", plot.y_label);
    return svg;
}

std::string draw_line(const LinePlot& plot, size_t i, const Axis& x, const Axis& y) {
    const LinePlot::Line& line = plot.lines[i];
    const size_t color = i % kColors;
    const char* dashed = line.dashed ? " dashed" : "";
    std::string path;
    std::string dots;
    for (const auto& [px, py] : line.points) {
        const double cx = x_of(px / x.end);
        const double cy = y_of(py / y.end);
        path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : " L", cx, cy);
        dots += fmt::format(
            "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"var(--line{})\"><title>{}: "
            "{:.6g} "
            "at {:.6g}</title></circle>\n",
            cx, cy, color, escape_html(line.name), py, px);
    }
    // The legend's sample stands below the axis.
    const double left = kLeft + kLegendWidth * static_cast<double>(i);
    const double middle = kHeight - 20;
    const auto stroke = [&](const std::string& d) {
        return fmt::format("<path class=\"line{}\" stroke=\"var(--line{})\" d=\"{}\"/>\n", dashed,
                           color, d);
    };
    std::string svg = path.empty() ? "" : stroke(path) + dots;
    svg += stroke(fmt::format("M{:.1f} {:.1f} L{:.1f} {:.1f}", left, middle, left + 28, middle));
    svg += text(left + 36, middle + 4, "start", line.name);
    return svg;
}

}  // namespace

std::string draw_line_plot(const LinePlot& plot) {
    double largest_x = 0;
    double largest_y = 0;
    for (const LinePlot::Line& line : plot.lines) {
        for (const auto& [x, y] : line.points) {
            largest_x = std::max(largest_x, x);
            largest_y = std::max(largest_y, y);
        }
    }
    const Axis x(largest_x, plot.x_step);
    const Axis y(largest_y);
    std::string svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
        "{1}\" font-family=\"sans-serif\" font-size=\"12\">\n{2}<rect width=\"100%\" "
        "height=\"100%\" fill=\"var(--ground)\"/>\n<text x=\"10\" y=\"20\" "
        "font-size=\"15\">{3}</text>\n",
        kWidth, kHeight, kStyle, escape_html(plot.title));
    svg += draw_axes(plot, x, y);
    for (size_t i = 0; i < plot.lines.size(); ++i) svg += draw_line(plot, i, x, y);
    return svg + "</svg>\n";
}

}  // namespace lowkey
