#include "report/line_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "report/shown_text.h"

namespace lowkey {
namespace {

constexpr double kLeft = 64;
constexpr double kRight = 20;
constexpr double kTop = 50;
constexpr double kAxisHeight = 46;    // marks and the label below the axis
constexpr double kLegendHeight = 44;  // below that
constexpr double kLegendWidth = 160;
constexpr double kNameGap = 15;
constexpr int kTicks = 6;

double largest(const LinePlot& plot, bool of_y) {
    double most = 0;
    for (const LinePlot::Line& line : plot.lines) {
        for (const auto& [x, y] : line.points) most = std::max(most, of_y ? y : x);
    }
    return most;
}

/// One plot as it is drawn.
class Drawing {
public:
    explicit Drawing(const LinePlot& plot)
        : plot_(plot),
          width_(std::max(plot.width, svg::width_of(plot.title) + 20)),
          x_(0, largest(plot, false), kTicks, plot.x_step),
          y_(0, largest(plot, true), kTicks) {
        double names = 0;
        for (const LinePlot::Line& line : plot.lines)
            names = std::max(names, svg::width_of(line.name));
        // Where names stand at the ends, lines go up to them.
        if (plot.name_ends && largest(plot, false) > 0) x_.high = largest(plot, false);
        // Long names do not crowd the lines out.
        if (plot.name_ends) width_ = std::max(width_, plot.width / 2 + names + 30);
        right_ = width_ - (plot.name_ends ? names + 30 : kRight);
        bottom_ = plot.height - kAxisHeight - (plot.name_ends ? 0 : kLegendHeight);
    }

    [[nodiscard]] std::string draw(svg::Use use) const {
        std::string out = svg::open(width_, plot_.height, plot_.title, use);
        out += svg::text(10, 20, "start", plot_.title, "strong");
        out += axes();
        for (size_t i = 0; i < plot_.lines.size(); ++i) out += line(i);
        out += plot_.name_ends ? end_names() : legend();
        return out.append(svg::kClose);
    }

private:
    [[nodiscard]] double x_of(double x) const { return kLeft + x_.share(x) * (right_ - kLeft); }
    [[nodiscard]] double y_of(double y) const { return bottom_ - y_.share(y) * (bottom_ - kTop); }

    [[nodiscard]] int series(size_t i) const {
        const int own = plot_.lines[i].series;
        return own >= 0 ? own : static_cast<int>(i) + 1;
    }

    [[nodiscard]] std::string axes() const {
        std::string out;
        for (const double tick : y_.ticks()) {
            out += svg::line(tick == 0 ? "axis" : "grid", kLeft, y_of(tick), right_, y_of(tick));
            out += svg::text(kLeft - 8, y_of(tick) + 4, "end", y_.label(tick), "muted");
        }
        for (const double tick : x_.ticks()) {
            out += svg::line("axis", x_of(tick), bottom_, x_of(tick), bottom_ + 4);
            out += svg::text(x_of(tick), bottom_ + 18, "middle", x_.label(tick), "muted");
        }
        out += svg::text((kLeft + right_) / 2, bottom_ + 38, "middle", plot_.x_label, "muted");
        return out + svg::text(10, kTop - 12, "start", plot_.y_label, "muted");
    }

    [[nodiscard]] std::string stroke(size_t i, const std::string& path) const {
        return fmt::format("<path class=\"line{}\" stroke=\"{}\" d=\"{}\"/>\n",
                           plot_.lines[i].dashed ? " dashed" : "", svg::color(series(i)), path);
    }

    [[nodiscard]] std::string line(size_t i) const {
        const LinePlot::Line& line = plot_.lines[i];
        std::string path;
        std::string dots;
        for (const auto& [x, y] : line.points) {
            path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : " L", x_of(x), y_of(y));
            const std::string title = fmt::format("{}: {:.6g} at {:.6g}", line.name, y, x);
            if (plot_.dots) {
                dots += svg::marker(series(i), line.marker, x_of(x), y_of(y), title);
            } else {
                // As large as a finger, and as clear as air.
                dots += fmt::format(
                    "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"6\" "
                    "fill-opacity=\"0\"><title>{}</title></circle>\n",
                    x_of(x), y_of(y), shown_html(title));
            }
        }
        return path.empty() ? "" : stroke(i, path) + dots;
    }

    [[nodiscard]] std::string legend() const {
        std::string out;
        for (size_t i = 0; i < plot_.lines.size(); ++i) {
            const double left = kLeft + kLegendWidth * static_cast<double>(i);
            const double middle = plot_.height - 20;
            out += stroke(
                i, fmt::format("M{:.1f} {:.1f} L{:.1f} {:.1f}", left, middle, left + 28, middle));
            out += svg::text(left + 36, middle + 4, "start", plot_.lines[i].name);
        }
        return out;
    }

    /// Names beside the last points, moved apart where lines end close together.
    [[nodiscard]] std::string end_names() const {
        std::vector<size_t> order;
        for (size_t i = 0; i < plot_.lines.size(); ++i) {
            if (!plot_.lines[i].points.empty()) order.push_back(i);
        }
        const auto end_of = [&](size_t i) { return y_of(plot_.lines[i].points.back().second); };
        std::stable_sort(order.begin(), order.end(),
                         [&](size_t a, size_t b) { return end_of(a) < end_of(b); });
        std::vector<double> wanted;
        wanted.reserve(order.size());
        for (const size_t i : order) wanted.push_back(end_of(i));
        const std::vector<double> places = svg::spread(wanted, kNameGap, kTop, bottom_);
        std::string out;
        for (size_t n = 0; n < order.size(); ++n) {
            const LinePlot::Line& line = plot_.lines[order[n]];
            const double x = x_of(line.points.back().first);
            out += svg::line("leader", x + 7, wanted[n], right_ + 18, places[n]);
            out += fmt::format(
                "<text x=\"{:.1f}\" y=\"{:.1f}\" style=\"fill: {}\" class=\"strong\">{}</text>\n",
                right_ + 22, places[n] + 4, svg::color(series(order[n])), shown_html(line.name));
        }
        return out;
    }

    const LinePlot& plot_;
    double width_;
    svg::Axis x_;
    svg::Axis y_;
    double right_ = 0;
    double bottom_ = 0;
};

}  // namespace

std::string draw_line_plot(const LinePlot& plot, svg::Use use) { return Drawing(plot).draw(use); }

}  // namespace lowkey
