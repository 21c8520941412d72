#include "report/scatter_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/shown_text.h"

namespace lowkey {
namespace {

constexpr double kLeft = 60;
constexpr double kRight = 24;
constexpr double kTop = 54;
constexpr double kBottom = 48;
constexpr double kTextHeight = 13;
constexpr int kTicks = 5;

struct Box {
    double left;
    double top;
    double right;
    double bottom;
};

double overlap(const Box& a, const Box& b) {
    const double width = std::min(a.right, b.right) - std::max(a.left, b.left);
    const double height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
    return width > 0 && height > 0 ? width * height : 0;
}

/// A range of y with room around its points, so that names fit.
svg::Axis y_axis(const ScatterPlot& plot) {
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    for (const ScatterPlot::Point& point : plot.points) {
        low = std::min(low, point.y - point.y_error);
        high = std::max(high, point.y + point.y_error);
    }
    if (plot.points.empty()) return {0, 1, kTicks};
    if (!(high > low) && plot.y_range) return {plot.y_range->first, plot.y_range->second, kTicks};
    svg::Axis axis(low, high, kTicks);
    if (!(high > low)) return axis;
    // Room for markers and names, but not for a whole step of nothing.
    const double room = (high - low) * 0.08;
    axis.low = std::max(axis.low, low - room);
    axis.high = std::min(axis.high + axis.step / 4, high + room);
    if (plot.y_range) {
        axis.low = std::max(axis.low, plot.y_range->first);
        axis.high = std::min(axis.high, plot.y_range->second);
    }
    return axis;
}

double largest_x(const ScatterPlot& plot) {
    double most = 0;
    for (const ScatterPlot::Point& point : plot.points) most = std::max(most, point.x);
    return most;
}

class Drawing {
public:
    explicit Drawing(const ScatterPlot& plot)
        : plot_(plot),
          width_(std::max(plot.width, svg::width_of(plot.title) + 20)),
          front_(pareto_front(plot)),
          x_(0, largest_x(plot), kTicks),
          y_(y_axis(plot)) {}

    [[nodiscard]] std::string draw(svg::Use use) const {
        std::string out = svg::open(width_, plot_.height, plot_.title, use);
        out += svg::text(10, 20, "start", plot_.title, "strong");
        out += axes();
        out += stair();
        for (size_t i = 0; i < plot_.points.size(); ++i) out += point(i);
        return out.append(names()).append(svg::kClose);
    }

private:
    [[nodiscard]] double right() const { return width_ - kRight; }
    [[nodiscard]] double bottom() const { return plot_.height - kBottom; }
    [[nodiscard]] double x_of(double x) const { return kLeft + x_.share(x) * (right() - kLeft); }
    [[nodiscard]] double y_of(double y) const { return bottom() - y_.share(y) * (bottom() - kTop); }

    [[nodiscard]] std::string axes() const {
        std::string out;
        for (const double tick : y_.ticks()) {
            out += svg::line("grid", kLeft, y_of(tick), right(), y_of(tick));
            out += svg::text(kLeft - 8, y_of(tick) + 4, "end", y_.label(tick), "muted");
        }
        out += svg::line("axis", kLeft, bottom(), right(), bottom());
        for (const double tick : x_.ticks()) {
            out += svg::line("axis", x_of(tick), bottom(), x_of(tick), bottom() + 4);
            out += svg::text(x_of(tick), bottom() + 18, "middle", x_.label(tick), "muted");
        }
        out += svg::text((kLeft + right()) / 2, bottom() + 38, "middle", plot_.x_label, "muted");
        return out + svg::text(10, kTop - 14, "start",
                               plot_.y_label + (plot_.less_is_better ? "  (lower is better ↓)"
                                                                     : "  (higher is better ↑)"),
                               "muted");
    }

    /// From the cheapest point of the front to the dearest: what a byte buys.
    [[nodiscard]] std::string stair() const {
        std::vector<const ScatterPlot::Point*> steps;
        for (size_t i = 0; i < plot_.points.size(); ++i) {
            if (front_[i]) steps.push_back(&plot_.points[i]);
        }
        std::sort(steps.begin(), steps.end(), [](const auto* a, const auto* b) {
            return a->x != b->x ? a->x < b->x : a->y < b->y;
        });
        if (steps.size() < 2) return {};
        std::string path = fmt::format("M{:.1f} {:.1f}", x_of(steps[0]->x), y_of(steps[0]->y));
        for (size_t i = 1; i < steps.size(); ++i)
            path += fmt::format(" H{:.1f} V{:.1f}", x_of(steps[i]->x), y_of(steps[i]->y));
        return fmt::format("<path class=\"front\" d=\"{}\"/>\n", path);
    }

    [[nodiscard]] std::string point(size_t i) const {
        const ScatterPlot::Point& point = plot_.points[i];
        const double x = x_of(point.x);
        std::string out;
        if (point.y_error > 0) {
            const double top = y_of(point.y + point.y_error);
            const double end = y_of(point.y - point.y_error);
            out += fmt::format(
                "<path d=\"M{0:.1f} {1:.1f} V{2:.1f} M{3:.1f} {1:.1f} H{4:.1f} M{3:.1f} {2:.1f} "
                "H{4:.1f}\" stroke=\"{5}\" stroke-opacity=\"0.55\"/>\n",
                x, top, end, x - 3, x + 3, svg::color(point.series));
        }
        const std::string title = point.name + (point.details.empty() ? "" : ": " + point.details) +
                                  (front_[i] ? "" : " (beaten by another)");
        return out + svg::marker(point.series, point.series, x, y_of(point.y), title, !front_[i]);
    }

    /// Where a name may stand around its point, best first.
    [[nodiscard]] std::vector<Box> candidates(const ScatterPlot::Point& point) const {
        const double width = svg::width_of(point.name);
        const double x = x_of(point.x);
        const double y = y_of(point.y);
        std::vector<Box> boxes;
        const auto add = [&](double left, double middle) {
            boxes.push_back(
                {left, middle - kTextHeight / 2, left + width, middle + kTextHeight / 2});
        };
        for (const double away : {0.0, 14.0, 28.0, 44.0}) {
            if (away == 0) {
                add(x + 9, y);
                add(x - 9 - width, y);
            }
            add(x - width / 2, y - 14 - away);
            add(x - width / 2, y + 14 + away);
            add(x + 8, y - 9 - away);
            add(x + 8, y + 9 + away);
            add(x - 8 - width, y - 9 - away);
            add(x - 8 - width, y + 9 + away);
        }
        return boxes;
    }

    [[nodiscard]] double cost_of(const Box& box, const std::vector<Box>& taken) const {
        const Box room = {kLeft + 1, kTop - 8, width_ - 2, bottom() - 1};
        const double area = (box.right - box.left) * (box.bottom - box.top);
        double cost = 4 * (area - overlap(box, room));
        for (const Box& other : taken) cost += overlap(box, other);
        return cost;
    }

    [[nodiscard]] std::string names() const {
        std::vector<Box> taken;
        for (const ScatterPlot::Point& point : plot_.points) {
            const double x = x_of(point.x);
            const double y = y_of(point.y);
            taken.push_back({x - 6, y - 6, x + 6, y + 6});
            const double bar = y_of(0) - y_of(point.y_error);
            if (bar > 6) taken.push_back({x - 1, y - bar, x + 1, y + bar});
        }
        std::string out;
        for (const ScatterPlot::Point& point : plot_.points) {
            Box best{};
            double least = std::numeric_limits<double>::infinity();
            for (const Box& box : candidates(point)) {
                const double cost = cost_of(box, taken);
                if (cost >= least) continue;
                least = cost;
                best = box;
            }
            taken.push_back(best);
            const double x = x_of(point.x);
            const double y = y_of(point.y);
            const double middle = (best.top + best.bottom) / 2;
            if (std::abs(middle - y) > 20)
                out += svg::line("leader", x, y + (middle < y ? -6 : 6),
                                 std::clamp(x, best.left, best.right),
                                 middle < y ? best.bottom : best.top);
            out += fmt::format(
                "<text class=\"halo strong\" x=\"{:.1f}\" y=\"{:.1f}\" style=\"fill: "
                "{}\">{}</text>\n",
                best.left, best.bottom - 2.5, svg::color(point.series), shown_html(point.name));
        }
        return out;
    }

    const ScatterPlot& plot_;
    double width_;
    std::vector<bool> front_;
    svg::Axis x_;
    svg::Axis y_;
};

}  // namespace

std::vector<bool> pareto_front(const ScatterPlot& plot) {
    std::vector<bool> front;
    for (const ScatterPlot::Point& point : plot.points) {
        const auto beats = [&](const ScatterPlot::Point& other) {
            const double gain = plot.less_is_better ? point.y - other.y : other.y - point.y;
            return other.x <= point.x && gain >= 0 && (other.x < point.x || gain > 0);
        };
        front.push_back(std::none_of(plot.points.begin(), plot.points.end(), beats));
    }
    return front;
}

std::string draw_scatter_plot(const ScatterPlot& plot, svg::Use use) {
    return Drawing(plot).draw(use);
}

}  // namespace lowkey
