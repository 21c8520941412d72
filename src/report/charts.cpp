#include "report/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "base/size.h"
#include "report/comparison_verdict.h"
#include "report/heat_map.h"
#include "report/line_plot.h"
#include "report/scatter_plot.h"

namespace lowkey {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
// Of a page's half, and not much more than a narrow screen: charts are scaled to what there is.
constexpr double kChartWidth = 420;
constexpr double kChartHeight = 310;

LinePlot line_plot(const std::string& title, const std::string& x_label,
                   const std::string& y_label) {
    return {.title = title,
            .x_label = x_label,
            .y_label = y_label,
            .name_ends = true,
            .width = kChartWidth,
            .height = kChartHeight};
}

LinePlot::Line line_of(const ComparisonReport& report, size_t row) {
    return {.name = report.caches[row].name,
            .points = {},
            .series = static_cast<int>(row),
            .marker = static_cast<int>(row)};
}

ScatterPlot::Point point_of(const ComparisonReport& report, size_t row, const CacheUsage& usage,
                            const CacheUsage& full) {
    return {.name = report.caches[row].name,
            .x = 100 * share_of_full(usage, full),
            .series = static_cast<int>(row),
            .details = fmt::format("{} of {} at {} tokens", format_bytes(usage.bytes_allocated),
                                   format_bytes(usage.bytes_full), usage.tokens)};
}

ScatterPlot text_plot(const ComparisonReport& report) {
    ScatterPlot plot{
        .title = "Perplexity against bytes",
        .x_label = fmt::format("% of the uncompressed bytes at {} tokens", report.window_length),
        .y_label = "change of perplexity, %"};
    for (size_t row = 0; row < report.caches.size(); ++row) {
        const TextScore& text = *report.caches[row].text;
        ScatterPlot::Point point =
            point_of(report, row, text.cache, report.caches.front().text->cache);
        point.y = 100 * text.relative_change();
        point.y_error = 100 * text.change_error * (1 + text.relative_change());
        point.details += fmt::format(", perplexity {:.3f} ({})", text.perplexity(),
                                     format_change(text.relative_change()));
        plot.points.push_back(std::move(point));
    }
    return plot;
}

ScatterPlot needle_plot(const ComparisonReport& report) {
    const int64_t longest = report.caches.front().needle->cache.tokens;
    ScatterPlot plot{.title = "Needles found against bytes",
                     .x_label = fmt::format("% of the uncompressed bytes at {} tokens", longest),
                     .y_label = fmt::format("% of {} prompts", report.needles.size()),
                     .less_is_better = false,
                     .y_range = std::pair(0.0, 100.0)};
    for (size_t row = 0; row < report.caches.size(); ++row) {
        const NeedleScore& needle = *report.caches[row].needle;
        ScatterPlot::Point point =
            point_of(report, row, needle.cache, report.caches.front().needle->cache);
        point.y = 100.0 * static_cast<double>(needle.num_found()) /
                  static_cast<double>(needle.found.size());
        point.details += fmt::format(", {} of {} found", needle.num_found(), needle.found.size());
        plot.points.push_back(std::move(point));
    }
    return plot;
}

/// Layers [num_layers] of a cache as points.
template <typename Fn>
std::vector<std::pair<double, double>> by_layer(const ComparedCache& cache, Fn value) {
    std::vector<std::pair<double, double>> points;
    for (size_t layer = 0; layer < cache.layers.size(); ++layer)
        points.emplace_back(static_cast<double>(layer), value(cache.layers[layer]));
    return points;
}

double mean(const std::vector<int64_t>& values) {
    if (values.empty()) return 0;
    return static_cast<double>(std::accumulate(values.begin(), values.end(), int64_t{0})) /
           static_cast<double>(values.size());
}

bool has_ranks(const ComparisonReport& report, const ComparedCache& cache) {
    const auto below = [&](int64_t rank) { return rank < report.head_dim; };
    return std::any_of(cache.layers.begin(), cache.layers.end(), [&](const LayerSummary& layer) {
        return std::any_of(layer.key_ranks.begin(), layer.key_ranks.end(), below) ||
               std::any_of(layer.value_ranks.begin(), layer.value_ranks.end(), below);
    });
}

bool has_errors(const ComparedCache& cache) {
    return !cache.layers.empty() &&
           std::all_of(cache.layers.begin(), cache.layers.end(),
                       [](const LayerSummary& layer) { return layer.error.has_value(); });
}

std::vector<std::string> names_to(size_t count) {
    std::vector<std::string> names;
    for (size_t i = 0; i < count; ++i) names.push_back(std::to_string(i));
    return names;
}

std::vector<ScatterPlot> quality_plots(const ComparisonReport& report) {
    std::vector<ScatterPlot> plots;
    if (report.caches.empty()) return plots;
    if (report.caches.front().text) plots.push_back(text_plot(report));
    if (report.caches.front().needle && !report.needles.empty())
        plots.push_back(needle_plot(report));
    return plots;
}

}  // namespace

std::vector<std::string> quality_charts(const ComparisonReport& report) {
    std::vector<std::string> charts;
    for (ScatterPlot& plot : quality_plots(report)) {
        plot.width = kChartWidth;
        plot.height = kChartHeight + 40;
        charts.push_back(draw_scatter_plot(plot, svg::Use::kInline));
    }
    return charts;
}

std::string memory_chart(const ComparisonReport& report) {
    if (report.lengths.size() < 2) return {};
    LinePlot plot = line_plot("Bytes by length", "tokens of the sequence", "MiB");
    for (size_t row = 0; row < report.caches.size(); ++row) {
        LinePlot::Line line = line_of(report, row);
        for (const CacheUsage& usage : report.caches[row].memory)
            line.points.emplace_back(static_cast<double>(usage.tokens),
                                     static_cast<double>(usage.bytes_allocated) / kMiB);
        plot.lines.push_back(std::move(line));
    }
    return draw_line_plot(plot, svg::Use::kInline);
}

std::vector<std::string> speed_charts(const ComparisonReport& report) {
    if (report.caches.empty() || report.caches.front().speed.size() < 2) return {};
    LinePlot rate = line_plot("Speed at depth", "tokens in the cache", "tokens per second");
    LinePlot attention = line_plot("Attention of a step", "tokens in the cache", "milliseconds");
    for (size_t row = 0; row < report.caches.size(); ++row) {
        LinePlot::Line fast = line_of(report, row);
        LinePlot::Line busy = line_of(report, row);
        for (const SpeedScore& speed : report.caches[row].speed) {
            const auto depth = static_cast<double>(speed.depth);
            fast.points.emplace_back(depth, speed.tokens_per_second);
            busy.points.emplace_back(depth, 1e3 * speed.attention_seconds);
        }
        rate.lines.push_back(std::move(fast));
        attention.lines.push_back(std::move(busy));
    }
    return {draw_line_plot(rate, svg::Use::kInline), draw_line_plot(attention, svg::Use::kInline)};
}

std::vector<std::string> needle_charts(const ComparisonReport& report) {
    std::set<int64_t> lengths;
    std::set<double> depths;
    for (const NeedlePlace& place : report.needles) {
        lengths.insert(place.length);
        depths.insert(place.depth);
    }
    std::vector<std::string> charts;
    for (const ComparedCache& cache : report.caches) {
        if (!cache.needle || report.needles.empty()) continue;
        HeatMap map{.title = fmt::format("{}: {} of {}", cache.name, cache.needle->num_found(),
                                         cache.needle->found.size()),
                    .row_label = "depth",
                    .column_label = "tokens",
                    .low = 0,
                    .high = 1,
                    .range_in_title = false};
        for (const int64_t length : lengths) map.columns.push_back(std::to_string(length));
        for (const double depth : depths) {
            map.rows.push_back(fmt::format("{:g}", depth));
            std::vector<double>& row = map.values.emplace_back();
            for (const int64_t length : lengths)
                row.push_back(report.needle_share(cache, {length, depth}));
        }
        charts.push_back(draw_heat_maps({map}, svg::Use::kInline));
    }
    return charts;
}

std::vector<std::string> layer_charts(const ComparisonReport& report) {
    const std::string dims = fmt::format("coordinates, of {}", report.head_dim);
    LinePlot keys = line_plot("Key rank, mean of a layer's heads", "layer", dims);
    LinePlot values = line_plot("Value rank, mean of a layer's heads", "layer", dims);
    LinePlot errors = line_plot("Error of a layer's output", "layer", "relative to its norm");
    for (size_t row = 0; row < report.caches.size(); ++row) {
        const ComparedCache& cache = report.caches[row];
        if (has_ranks(report, cache)) {
            LinePlot::Line key = line_of(report, row);
            LinePlot::Line value = line_of(report, row);
            key.points = by_layer(cache, [](const auto& layer) { return mean(layer.key_ranks); });
            value.points =
                by_layer(cache, [](const auto& layer) { return mean(layer.value_ranks); });
            keys.lines.push_back(std::move(key));
            values.lines.push_back(std::move(value));
        }
        if (has_errors(cache)) {
            LinePlot::Line line = line_of(report, row);
            line.points = by_layer(cache, [](const auto& layer) { return *layer.error; });
            errors.lines.push_back(std::move(line));
        }
    }
    std::vector<std::string> charts;
    for (LinePlot* plot : {&keys, &values, &errors}) {
        plot->dots = false;
        if (!plot->lines.empty()) charts.push_back(draw_line_plot(*plot, svg::Use::kInline));
    }
    return charts;
}

std::vector<std::string> head_charts(const ComparisonReport& report) {
    std::vector<const HeadScores*> drawn;
    std::vector<std::string> charts;
    for (const ComparedCache& cache : report.caches) {
        for (const HeadScores& scores : cache.head_scores) {
            const bool known = std::any_of(drawn.begin(), drawn.end(), [&](const HeadScores* one) {
                return one->name == scores.name && one->values == scores.values &&
                       one->kept_whole == scores.kept_whole;
            });
            if (known || scores.values.empty()) continue;
            drawn.push_back(&scores);
            HeatMap map{.title = fmt::format("{}: {} score", cache.name, scores.name),
                        .row_label = "layer",
                        .column_label = "query head",
                        .rows = names_to(scores.values.size()),
                        .columns = names_to(scores.values.front().size()),
                        .values = scores.values,
                        .outlined = scores.kept_whole,
                        .values_in_cells = false};
            charts.push_back(draw_heat_maps({map}, svg::Use::kInline));
        }
    }
    return charts;
}

std::string cache_dot(size_t row) {
    const auto series = static_cast<int>(row);
    return "<svg class=\"chart dot\" viewBox=\"0 0 14 14\" width=\"14\" height=\"14\" "
           "aria-hidden=\"true\">" +
           svg::marker(series, series, 7, 7, "") + "</svg>";
}

}  // namespace lowkey
