#include "report/markdown.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/size.h"
#include "report/comparison_verdict.h"
#include "report/shown_text.h"

namespace lowkey {
namespace {

/// Text that Markdown shows as it is.
std::string plain(std::string_view text) {
    std::string out;
    for (const char c : shown_text(text)) {
        if (std::string_view("\\`*_{}[]<>#|~&").find(c) != std::string_view::npos) out += '\\';
        out += c == '\n' || c == '\r' ? ' ' : c;
    }
    return out;
}

/// A block of code, fenced by more backticks than it has in a row.
std::string code(const std::string& words) {
    const std::string text = shown_text(words);
    size_t longest = 0;
    size_t run = 0;
    for (const char c : text) {
        run = c == '`' ? run + 1 : 0;
        longest = std::max(longest, run);
    }
    const std::string fence(std::max<size_t>(3, longest + 1), '`');
    return fmt::format("{0}\n{1}\n{0}\n", fence, text);
}

std::string row_of(const std::vector<std::string>& cells) {
    return fmt::format("| {} |\n", fmt::join(cells, " | "));
}

std::vector<std::string> names_of_columns(const ComparisonReport& report) {
    const ComparedCache& full = report.caches.front();
    std::vector<std::string> names = {
        "cache", fmt::format("bytes at {}", headline_usage(full).tokens), "of full"};
    if (full.text) names.insert(names.end(), {"perplexity", "change", "KL, nats"});
    if (full.needle) names.emplace_back("needles");
    if (full.task) names.push_back(plain(report.task_name));
    if (!full.speed.empty())
        names.push_back(fmt::format("tokens/s at {}", full.speed.back().depth));
    names.emplace_back("loses");
    return names;
}

std::vector<std::string> cells_of(const ComparisonReport& report, const ComparedCache& cache) {
    const CacheUsage usage = headline_usage(cache);
    std::vector<std::string> cells = {
        plain(cache.name), format_bytes(usage.bytes_allocated),
        fmt::format("{:.1f} %", 100 * share_of_full(usage, headline_usage(report.caches.front())))};
    if (cache.text) {
        cells.push_back(fmt::format("{:.3f}", cache.text->perplexity()));
        cells.push_back(cache.method.empty()
                            ? "–"
                            : fmt::format("{} ± {:.2f}",
                                          format_change(cache.text->relative_change()),
                                          100 * cache.text->change_error));
        cells.push_back(cache.method.empty() ? "–" : fmt::format("{:.4f}", cache.text->kl));
    }
    if (cache.needle) {
        cells.push_back(
            fmt::format("{} / {}", cache.needle->num_found(), cache.needle->found.size()));
    }
    if (cache.task) {
        cells.push_back(fmt::format("{:.1f} ± {:.1f} %", 100 * cache.task->accuracy(),
                                    100 * cache.task->accuracy_error()));
    }
    if (!cache.speed.empty())
        cells.push_back(
            fmt::format("{:.1f}{}", cache.speed.back().tokens_per_second,
                        cache.method.empty() ? "" : ", " + format_share(cache.speed.back())));
    std::vector<std::string> losses;
    for (const Loss& loss : losses_of(report, cache))
        losses.push_back(loss.severe ? fmt::format("**{}**", plain(loss.what)) : plain(loss.what));
    cells.push_back(cache.method.empty() ? ""
                    : losses.empty()     ? "nothing seen"
                                         : fmt::format("{}", fmt::join(losses, "; ")));
    return cells;
}

}  // namespace

std::string report_markdown(const ComparisonReport& report) {
    std::string out = fmt::format("### {}: what its KV cache can lose\n\n", plain(report.model));
    for (const std::string& sentence : findings(report))
        out += fmt::format("- {}\n", plain(sentence));
    if (!report.caches.empty()) {
        const std::vector<std::string> names = names_of_columns(report);
        out += fmt::format("\n{}|---|", row_of(names));
        for (size_t i = 1; i < names.size(); ++i) out += i + 1 < names.size() ? "---:|" : "---|\n";
        for (const ComparedCache& cache : report.caches) out += row_of(cells_of(report, cache));
    }
    out += fmt::format("\nlowkey {}, {}, {} threads, {} kernels, {}; model {}\n\n",
                       plain(report.version), plain(report.processor), report.threads,
                       plain(report.isa), plain(report.dtype), plain(report.model_fingerprint));
    return out + code(report.command);
}

}  // namespace lowkey
