#include "report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/unicode.h"
#include "report/shown_text.h"

namespace lowkey::svg {
namespace {

// Colours that people who see few can tell apart (after Okabe and Ito), on light and dark ground.
constexpr std::array<const char*, kNumColors> kLight = {"#5c6470", "#0072b2", "#d55e00", "#009e73",
                                                        "#b5538f", "#b98700", "#4aa3dc", "#7a5cc0"};
constexpr std::array<const char*, kNumColors> kDark = {"#a3abb8", "#56b4e9", "#f58a4b", "#2bc99a",
                                                       "#e79bc6", "#e6c04c", "#9fd3f5", "#b39df0"};

constexpr char kClasses[] =
    ".chart text { fill: var(--ink); }\n"
    ".chart .muted { fill: var(--muted); } .chart .strong { font-weight: 600; }\n"
    ".chart .grid { stroke: var(--grid); } .chart .axis { stroke: var(--axis); }\n"
    ".chart .leader { stroke: var(--muted); stroke-width: 0.75; }\n"
    ".chart .line { fill: none; stroke-width: 2; stroke-linejoin: round; }\n"
    ".chart .dashed { stroke-dasharray: 6 4; } .chart .ground { fill: var(--ground); }\n"
    ".chart .front { fill: none; stroke: var(--muted); stroke-dasharray: 2 4; "
    "stroke-linecap: round; stroke-width: 1.5; }\n"
    ".chart .cell { fill: var(--heat); } .chart .on-cell { fill: var(--on-heat); }\n"
    ".chart .framed { stroke: var(--frame); stroke-width: 2; }\n"
    ".chart .halo { paint-order: stroke; stroke: var(--ground); stroke-width: 3; "
    "stroke-linejoin: round; }\n";

std::string variables(const std::array<const char*, kNumColors>& colors, const char* rest) {
    std::string out = rest;
    for (size_t i = 0; i < colors.size(); ++i) out += fmt::format(" --s{}: {};", i, colors.at(i));
    return out;
}

constexpr char kLightRest[] =
    "--ground: #ffffff; --ink: #1c2128; --muted: #6a7280; --grid: #e9ebee; --axis: #9aa1ab; "
    "--heat: #08306b; --on-heat: #ffffff; --frame: #d7301f;";
constexpr char kDarkRest[] =
    "--ground: #15181d; --ink: #dfe3e8; --muted: #98a1ad; --grid: #2a2f37; --axis: #5d6672; "
    "--heat: #7cc0ff; --on-heat: #0d1117; --frame: #ff8f6b;";

}  // namespace

std::string style(std::string_view root) {
    return fmt::format(
        "{0} {{ {1} }}\n@media (prefers-color-scheme: dark) {{\n{0} {{ {2} }}\n}}\n{3}", root,
        variables(kLight, kLightRest), variables(kDark, kDarkRest), kClasses);
}

std::string color(int series) { return fmt::format("var(--s{})", series % kNumColors); }

std::string open(double width, double height, std::string_view label, Use use) {
    if (use == Use::kInline) {
        return fmt::format(
            "<svg class=\"chart\" viewBox=\"0 0 {0:g} {1:g}\" width=\"{0:g}\" height=\"{1:g}\" "
            "role=\"img\" aria-label=\"{2}\">\n",
            width, height, shown_html(label));
    }
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" width=\"{0:g}\" "
        "height=\"{1:g}\" viewBox=\"0 0 {0:g} {1:g}\" font-family=\"sans-serif\" font-size=\"12\" "
        "role=\"img\" aria-label=\"{2}\">\n<style>\n{3}</style>\n<rect class=\"ground\" "
        "width=\"100%\" height=\"100%\"/>\n",
        width, height, shown_html(label), style(".chart"));
}

std::string text(double x, double y, std::string_view anchor, std::string_view words,
                 std::string_view css_class) {
    const std::string attribute =
        css_class.empty() ? "" : fmt::format(" class=\"{}\"", shown_html(css_class));
    return fmt::format("<text{} x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n",
                       attribute, x, y, anchor, shown_html(words));
}

std::string line(std::string_view css_class, double x1, double y1, double x2, double y2) {
    return fmt::format(
        "<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", css_class,
        x1, y1, x2, y2);
}

std::string marker(int series, int shape, double x, double y, std::string_view title, bool hollow) {
    // Of equal weight to the eye, though not of equal width.
    const std::string look = hollow ? fmt::format(
                                          "fill=\"var(--ground)\" stroke=\"{}\" "
                                          "stroke-width=\"2\"",
                                          color(series))
                                    : fmt::format("fill=\"{}\"", color(series));
    const std::string end = fmt::format("{}><title>{}</title></{{}}>\n", look, shown_html(title));
    const auto polygon = [&](std::initializer_list<std::array<double, 2>> corners) {
        std::string points;
        for (const auto& [dx, dy] : corners)
            points += fmt::format("{}{:.1f},{:.1f}", points.empty() ? "" : " ", x + dx, y + dy);
        return fmt::format("<polygon points=\"{}\" {}><title>{}</title></polygon>\n", points, look,
                           shown_html(title));
    };
    switch (shape % 6) {
        case 1:
            return polygon({{-4.2, -4.2}, {4.2, -4.2}, {4.2, 4.2}, {-4.2, 4.2}});
        case 2:
            return polygon({{0, -5.6}, {5.4, 4}, {-5.4, 4}});
        case 3:
            return polygon({{0, -6}, {6, 0}, {0, 6}, {-6, 0}});
        case 4:
            return polygon({{0, 5.6}, {5.4, -4}, {-5.4, -4}});
        case 5:
            return polygon({{-2, -5.6},
                            {2, -5.6},
                            {2, -2},
                            {5.6, -2},
                            {5.6, 2},
                            {2, 2},
                            {2, 5.6},
                            {-2, 5.6},
                            {-2, 2},
                            {-5.6, 2},
                            {-5.6, -2},
                            {-2, -2}});
        default:
            return fmt::format(
                "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\" {}><title>{}</title></circle>\n", x,
                y, look, shown_html(title));
    }
}

double width_of(std::string_view words) {
    constexpr unsigned char kFirstWide = 0xe3;  // begins U+3000: as wide as high from there on
    double width = 0;
    for (const char c : words) {
        if (!begins_character(c)) continue;
        width += static_cast<unsigned char>(c) < kFirstWide ? 7.3 : 12.5;
    }
    return width;
}

Axis::Axis(double least, double largest, int ticks, double given_step) {
    if (!(largest > least)) {
        // One value alone: a range around it.
        const double around = std::max(std::abs(largest), 1.0) / 2;
        const bool from_zero = least == 0;
        least = from_zero ? 0 : least - around;
        largest = from_zero ? 1 : largest + around;
    }
    const double rough = (largest - least) / ticks;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    const double digit = rough / power;
    step = power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
    if (given_step > 0) step = given_step;
    // What lies on a mark but for rounding lies on it.
    constexpr double kSlack = 1e-9;
    low = step * std::floor(least / step + kSlack);
    high = step * std::ceil(largest / step - kSlack);
}

std::vector<double> Axis::ticks() const {
    std::vector<double> out;
    constexpr double kSlack = 1e-9;
    const auto first = static_cast<int64_t>(std::ceil(low / step - kSlack));
    const auto last = static_cast<int64_t>(std::floor(high / step + kSlack));
    for (int64_t i = first; i <= last; ++i) out.push_back(static_cast<double>(i) * step);
    return out;
}

std::string Axis::label(double value) const {
    const double digits = std::max(0.0, -std::floor(std::log10(step) + 1e-9));
    if (digits > 6) return fmt::format("{:.3g}", value);
    const double zero = std::abs(value) < step * 1e-6 ? 0 : value;
    return fmt::format("{:.{}f}", zero, static_cast<int>(digits));
}

std::vector<double> spread(std::vector<double> wanted, double gap, double low, double high) {
    // Neighbours that are too close become a block around their mean; blocks merge as they grow.
    struct Block {
        double sum;  // of the wanted places, each moved back by its rank in the block
        size_t count;
        double start;
    };
    std::vector<Block> blocks;
    const auto place = [&](Block& block) {
        const double room = gap * static_cast<double>(block.count - 1);
        const double start = block.sum / static_cast<double>(block.count);
        block.start = std::max(low, std::min(start, high - room));
    };
    for (const double at : wanted) {
        blocks.push_back({at, 1, at});
        place(blocks.back());
        while (blocks.size() > 1) {
            Block& last = blocks.back();
            Block& before = blocks[blocks.size() - 2];
            const double room = gap * static_cast<double>(before.count);
            if (before.start + room <= last.start) break;
            before.sum += last.sum - room * static_cast<double>(last.count);
            before.count += last.count;
            blocks.pop_back();
            place(blocks.back());
        }
    }
    size_t i = 0;
    for (const Block& block : blocks) {
        for (size_t n = 0; n < block.count; ++n)
            wanted[i++] = block.start + gap * static_cast<double>(n);
    }
    return wanted;
}

}  // namespace lowkey::svg
