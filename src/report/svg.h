#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace lowkey::svg {

// What the charts of this folder share: colours, markers, axes and the few elements they are made
// of. All words are escaped here, so callers hand over text as it is.

/// Where a chart goes: a file of its own, which brings its style, or a page that holds style()
/// once.
enum class Use { kDocument, kInline };

/// Series that differ in colour; further ones repeat the colours with another marker. Series 0 is
/// grey, for what all others are compared with.
inline constexpr int kNumColors = 8;

/// CSS of all charts, for a light or a dark ground as the viewer prefers: variables and classes
/// under `.chart`. `root` is the selector that gets the variables.
std::string style(std::string_view root);
/// "var(--s3)": the colour of a series.
std::string color(int series);

/// The element that opens a chart of so many units; `label` is read aloud.
std::string open(double width, double height, std::string_view label, Use use);
/// Closes it.
inline constexpr std::string_view kClose = "</svg>\n";

/// Words; `anchor` says which of their ends is at x: start, middle or end.
std::string text(double x, double y, std::string_view anchor, std::string_view words,
                 std::string_view css_class = "");
/// A straight line.
std::string line(std::string_view css_class, double x1, double y1, double x2, double y2);
/// A dot in the colour and shape of a series, that tells `title` on hover.
std::string marker(int series, int shape, double x, double y, std::string_view title,
                   bool hollow = false);
/// Width of bold words at the charts' font size, roughly.
double width_of(std::string_view words);

/// Marks at multiples of `step`: as given, or (0) 1, 2 or 5 times a power of ten. The ends are
/// marks around the numbers, until somebody moves them closer.
struct Axis {
    double low = 0;
    double high = 1;
    double step = 1;

    Axis(double least, double largest, int ticks, double given_step = 0);
    /// Where a value stands: 0 at the low end, 1 at the high one.
    [[nodiscard]] double share(double value) const { return (value - low) / (high - low); }
    /// The marks, ascending.
    [[nodiscard]] std::vector<double> ticks() const;
    /// Just the digits that tell ticks apart.
    [[nodiscard]] std::string label(double value) const;
};

/// Moves places that are wanted on a line, in ascending order, so that neighbours are `gap` apart
/// and all lie in [low, high] as far as there is room.
std::vector<double> spread(std::vector<double> wanted, double gap, double low, double high);

}  // namespace lowkey::svg
