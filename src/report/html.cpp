#include "report/html.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/size.h"
#include "report/charts.h"
#include "report/comparison_verdict.h"
#include "report/html_style.h"
#include "report/shown_text.h"
#include "report/svg.h"

namespace lowkey {
namespace {

std::string paragraph(const char* css_class, const std::string& words) {
    return fmt::format("<p class=\"{}\">{}</p>\n", css_class, shown_html(words));
}

std::string section(const std::string& title, const std::string& note, const std::string& body) {
    if (body.empty()) return {};
    return fmt::format("<section>\n<h2>{}</h2>\n{}{}</section>\n", shown_html(title),
                       note.empty() ? "" : paragraph("note", note), body);
}

std::string charts(const char* css_class, const std::vector<std::string>& drawings) {
    std::string out;
    for (const std::string& drawing : drawings)
        out += fmt::format("<div class=\"scroll\">\n{}</div>\n", drawing);
    return out.empty() ? out : fmt::format("<div class=\"{}\">\n{}</div>\n", css_class, out);
}

const Loss* loss_of(const std::vector<Loss>& losses, Loss::Of of) {
    const auto found =
        std::find_if(losses.begin(), losses.end(), [&](const Loss& loss) { return loss.of == of; });
    return found == losses.end() ? nullptr : &*found;
}

/// A cell; what is lost is told on hover.
std::string cell(const std::string& words, const std::string& aside = {},
                 const Loss* loss = nullptr) {
    const std::string more =
        aside.empty() ? "" : fmt::format("<small>{}</small>", shown_html(aside));
    if (loss == nullptr) return fmt::format("<td>{}{}</td>", shown_html(words), more);
    return fmt::format("<td><span class=\"worse{}\" title=\"{}\">{}</span>{}</td>",
                       loss->severe ? " severe" : "", shown_html(loss->what), shown_html(words),
                       more);
}

std::string head(const std::string& words, const char* css_class = "") {
    return fmt::format("<th class=\"{}\">{}</th>", css_class, shown_html(words));
}

std::string name_cell(const ComparisonReport& report, size_t row) {
    return fmt::format("<th scope=\"row\">{}{}</th>", cache_dot(row),
                       shown_html(report.caches[row].name));
}

std::string share_cell(double ratio, bool is_loss) {
    const double width = std::clamp(100 * ratio, 0.0, 100.0);
    return fmt::format(
        "<td><span class=\"share\" style=\"background-size: {:.1f}% 100%\"></span><span{}>{:.1f} "
        "%</span></td>",
        width, is_loss ? " class=\"worse\"" : "", 100 * ratio);
}

std::string chip(const ComparisonReport& report, const ComparedCache& cache) {
    if (cache.method.empty()) return "<td></td>";
    const std::vector<Loss> losses = losses_of(report, cache);
    const bool severe =
        std::any_of(losses.begin(), losses.end(), [](const Loss& loss) { return loss.severe; });
    std::string why;
    for (const Loss& loss : losses) why += (why.empty() ? "" : "; ") + loss.what;
    return fmt::format("<td><span class=\"chip {}\" title=\"{}\">{}</span></td>",
                       losses.empty() ? "good"
                       : severe       ? "bad"
                                      : "fair",
                       shown_html(why.empty() ? "nothing beyond chance" : why),
                       losses.empty() ? "no loss seen"
                       : severe       ? "loses"
                                      : "small price");
}

/// Columns of the summary: those that were measured.
struct Columns {
    bool text, needle, task, speed;
    explicit Columns(const ComparedCache& full)
        : text(full.text.has_value()),
          needle(full.needle.has_value()),
          task(full.task.has_value()),
          speed(!full.speed.empty()) {}
};

std::string summary_head(const ComparisonReport& report, const Columns& columns, int64_t length) {
    std::string row = head("cache") + head(fmt::format("bytes at {} tokens", length)) +
                      head("of the uncompressed");
    if (columns.text) {
        row += head("perplexity") + head("change ± s.e.") + head("KL, nats") +
               head("same first token");
    }
    if (columns.needle) row += head("needles found");
    if (columns.task) row += head(report.task_name + ", % right ± s.e.");
    if (columns.speed) {
        row += head(fmt::format("tokens/s at {}", report.caches.front().speed.back().depth));
    }
    return row + head("in short");
}

std::string text_cells(const ComparedCache& cache, const Loss* loss) {
    const TextScore& text = *cache.text;
    const bool full = cache.method.empty();
    return cell(fmt::format("{:.3f}", text.perplexity())) +
           (full ? cell("–")
                 : cell(format_change(text.relative_change()),
                        fmt::format("± {:.2f}", 100 * text.change_error), loss)) +
           cell(full ? "–" : fmt::format("{:.4f}", text.kl)) +
           cell(full ? "–" : fmt::format("{:.1f} %", 100 * text.top1));
}

std::string summary_row(const ComparisonReport& report, const Columns& columns, size_t row) {
    const ComparedCache& cache = report.caches[row];
    const std::vector<Loss> losses = losses_of(report, cache);
    const CacheUsage usage = headline_usage(cache);
    const bool no_smaller =
        row > 0 && usage.bytes_allocated >= headline_usage(report.caches.front()).bytes_allocated;
    std::string out =
        name_cell(report, row) + cell(format_bytes(usage.bytes_allocated)) +
        share_cell(share_of_full(usage, headline_usage(report.caches.front())), no_smaller);
    if (columns.text) out += text_cells(cache, loss_of(losses, Loss::Of::kText));
    if (columns.needle) {
        out += cell(fmt::format("{} / {}", cache.needle->num_found(), cache.needle->found.size()),
                    "", loss_of(losses, Loss::Of::kNeedle));
    }
    if (columns.task) {
        out += cell(fmt::format("{:.1f}", 100 * cache.task->accuracy()),
                    fmt::format("± {:.1f}", 100 * cache.task->accuracy_error()),
                    loss_of(losses, Loss::Of::kTask));
    }
    if (columns.speed) {
        const SpeedScore& speed = cache.speed.back();
        // Of this depth: another one's loss stands in the chip and in the sentences.
        const auto loss = speed_loss(report, cache, cache.speed.size() - 1);
        out += cell(fmt::format("{:.1f}", speed.tokens_per_second),
                    cache.method.empty() ? "" : format_share(speed), loss ? &*loss : nullptr);
    }
    return fmt::format("<tr>{}{}</tr>\n", out, chip(report, cache));
}

std::string summary(const ComparisonReport& report) {
    if (report.caches.empty()) return {};
    const Columns columns(report.caches.front());
    std::string rows;
    for (size_t row = 0; row < report.caches.size(); ++row)
        rows += summary_row(report, columns, row);
    return section(
        "All caches",
        "▼ marks what a cache loses against the uncompressed one beyond what chance explains; "
        "hover "
        "to read it. Bytes are pages counted from the page pool.",
        fmt::format("<p class=\"hint\">On a narrow screen the table goes on to the right: "
                    "swipe.</p>\n<div class=\"wide\"><table "
                    "class=\"rows\">\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody>"
                    "</table></div>\n",
                    summary_head(report, columns, headline_usage(report.caches.front()).tokens),
                    rows));
}

std::string findings_section(const ComparisonReport& report) {
    std::string items;
    for (const std::string& sentence : findings(report))
        items += fmt::format("<li>{}</li>\n", shown_html(sentence));
    if (items.empty()) return {};
    return section("What it says", "", fmt::format("<ul class=\"findings\">\n{}</ul>\n", items));
}

/// Bytes that two texts begin with alike, up to the start of a character.
size_t common_start(const std::string& a, const std::string& b) {
    size_t n = 0;
    while (n < std::min(a.size(), b.size()) && a[n] == b[n]) ++n;
    while (n > 0 && n < b.size() && (static_cast<unsigned char>(b[n]) & 0xc0u) == 0x80u) --n;
    return n;
}

std::string sample(const ComparisonReport& report, size_t prompt, size_t row) {
    const std::string& full = report.caches.front().samples[prompt];
    const std::string& text = report.caches[row].samples[prompt];
    const size_t same = common_start(full, text);
    std::string body = shown_html(text.substr(0, same));
    if (same < text.size()) body += fmt::format("<mark>{}</mark>", shown_html(text.substr(same)));
    const char* note = row == 0                              ? ""
                       : same == text.size() && text == full ? "<small>word for word</small>"
                                                             : "";
    return fmt::format("<div class=\"sample\"><b>{}{}{}</b><div class=\"text\">{}</div></div>\n",
                       cache_dot(row), shown_html(report.caches[row].name), note, body);
}

std::string samples(const ComparisonReport& report) {
    std::string out;
    for (size_t p = 0; p < report.prompts.size(); ++p) {
        const SamplePrompt& prompt = report.prompts[p];
        out += fmt::format("<h3>{} <small>{} tokens of prompt</small></h3>\n",
                           shown_html(prompt.name), prompt.tokens);
        out += fmt::format("<div class=\"text prompt\">{}</div>\n<div class=\"samples\">\n",
                           shown_html(prompt.end));
        for (size_t row = 0; row < report.caches.size(); ++row) out += sample(report, p, row);
        out += "</div>\n";
    }
    return section("What they write",
                   "Greedy continuations of the same prompts. Marked: from where a text is no "
                   "longer that of the uncompressed cache. Different is not worse: read them.",
                   out);
}

std::string fact(const std::string& name, const std::string& value) {
    return fmt::format(
        "<tr><th scope=\"row\">{}</th><td class=\"left\"><code>{}</code></td></tr>\n",
        shown_html(name), shown_html(value));
}

std::string repeat(const ComparisonReport& report) {
    std::string commands;
    std::string plans;
    for (const ComparedCache& cache : report.caches) {
        if (!cache.command.empty()) commands += cache.command + "\n";
        if (!cache.method.empty())
            plans += fact(fmt::format("plan {}", cache.name),
                          fmt::format("{}  {} ({} prefill)", cache.hash, cache.file,
                                      cache.exact_prefill ? "exact" : "compressed"));
    }
    const std::string facts =
        fact("lowkey", report.version) +
        fact("processor", fmt::format("{}, {} threads, {} kernels", report.processor,
                                      report.threads, report.isa)) +
        fact("numbers", report.dtype) + fact("model", report.model_fingerprint) +
        (report.text_name.empty() ? "" : fact("text", report.text_hash + "  " + report.text_name)) +
        plans;
    return section("To repeat it", "",
                   fmt::format("<pre><code>{}{}</code></pre>\n<div class=\"wide\"><table "
                               "class=\"facts\"><tbody>\n{}</tbody>"
                               "</table></div>\n",
                               shown_html(commands), shown_html(report.command), facts));
}

std::string text_note(const ComparisonReport& report) {
    std::string note;
    if (report.targets > 0) {
        note += fmt::format(
            "Perplexity: {} windows of {} tokens of {}; the first {} are a prompt, the other "
            "tokens "
            "are decoded one by one through the cache and scored ({} in all). `lowkey eval "
            "perplexity` without --prefill scores whole windows instead, of which most tokens have "
            "less before them that could be lost: its changes are smaller. Bars are one standard "
            "error of the paired difference. ",
            report.windows, report.window_length, report.text_name, report.window_prefill,
            report.targets);
    }
    return note +
           "The lower left (or, for needles, the upper left) is where to be. Full dots joined by "
           "the dotted line are the best for their bytes; hollow ones are beaten by another.";
}

std::string measured_sections(const ComparisonReport& report) {
    const std::string memory = memory_chart(report);
    std::vector<std::string> costs = speed_charts(report);
    if (!memory.empty()) costs.insert(costs.begin(), memory);
    return section("Quality against bytes", text_note(report),
                   charts("charts", quality_charts(report))) +
           section(
               "Needles",
               "One number hidden in a long text and asked for at its end: the share of prompts "
               "that were answered, by the prompt's length and the needle's place (0: at the "
               "beginning).",
               charts("grids", needle_charts(report))) +
           section("Bytes and speed at depth",
                   costs.empty()
                       ? ""
                       : fmt::format("Bytes are those of the page pool with a cache of so "
                                     "many tokens. Speed is greedy decoding, {} steps, "
                                     "the median of {} runs in turn; in brackets, what other work "
                                     "on the machine lets it be.",
                                     report.speed_steps, report.speed_repeats),
                   charts("charts", costs));
}

std::string plan_sections(const ComparisonReport& report) {
    return section("Ranks and errors by layer",
                   "How many coordinates a token's keys and values keep, and how far that moves a "
                   "layer's output on calibration text, as the planner measured it.",
                   charts("charts", layer_charts(report))) +
           section("Heads that look back",
                   "Attention to earlier occurrences of a repeated token (echo) and to what "
                   "followed them (induction), by query head. Framed heads share a KV head that "
                   "keeps all tokens.",
                   charts("grids", head_charts(report)));
}

}  // namespace

std::string report_html(const ComparisonReport& report) {
    const std::string title = fmt::format("{}: what its KV cache can lose", report.model);
    const std::string facts = fmt::format(
        "{}, {:.0f} M parameters; {} layers of {} KV heads ({} heads) of {}; {} of cache per token",
        report.architecture, static_cast<double>(report.parameters) / 1e6, report.num_layers,
        report.num_kv_heads, report.num_heads, report.head_dim,
        format_bytes(report.kv_bytes_per_token));
    return fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
        "<title>{0}</title>\n<style>\n{1}{2}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n"
        "{3}{4}{5}{6}{7}{8}{9}<footer>Made by lowkey {10}.</footer>\n</main>\n</body>\n</html>\n",
        shown_html(title), svg::style(":root"), kReportStyle, paragraph("facts", facts),
        findings_section(report), summary(report), measured_sections(report), plan_sections(report),
        samples(report), repeat(report), shown_html(report.version));
}

}  // namespace lowkey
