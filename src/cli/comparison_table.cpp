#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "base/size.h"
#include "cli/comparison_output.h"
#include "report/comparison_verdict.h"

namespace lowkey::cli {
namespace {

// Colours of a terminal's 256 that come nearest to the report's.
constexpr std::array<int, 8> kRowColors = {245, 32, 166, 36, 175, 178, 74, 98};
constexpr int kRed = 203;
constexpr int kYellow = 179;
constexpr int kGreen = 78;
constexpr int kGrey = 245;
constexpr int kBarWidth = 10;

/// A table on a terminal or elsewhere: words are padded first and coloured then.
class Painter {
public:
    Painter() : colors_(isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr) {}
    [[nodiscard]] std::string paint(const std::string& words, int color, bool bold = false) const {
        if (!colors_) return words;
        return fmt::format("\x1b[{}38;5;{}m{}\x1b[0m", bold ? "1;" : "", color, words);
    }

private:
    bool colors_;
};

/// "█████▌····"
std::string bar(double share) {
    constexpr std::array<const char*, 8> kParts = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const auto eighths = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * kBarWidth * 8));
    std::string out;
    int width = 0;
    for (; width < eighths / 8; ++width) out += "█";
    if (eighths % 8 != 0) {
        out += kParts.at(static_cast<size_t>(eighths % 8));
        ++width;
    }
    for (; width < kBarWidth; ++width) out += "·";
    return out;
}

class Table {
public:
    explicit Table(const ComparisonReport& report) : report_(report) {
        for (const ComparedCache& cache : report.caches)
            name_width_ = std::max(name_width_, width_of(cache.name));
    }

    void print() const {
        print_head();
        for (size_t row = 0; row < report_.caches.size(); ++row) print_row(row);
    }

private:
    /// Characters, not bytes.
    static size_t width_of(const std::string& text) {
        return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
            return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;
        }));
    }
    static std::string left(const std::string& text, size_t width) {
        return text + std::string(width - std::min(width, width_of(text)), ' ');
    }
    static std::string right(const std::string& text, size_t width) {
        return std::string(width - std::min(width, width_of(text)), ' ') + text;
    }
    [[nodiscard]] const ComparedCache& full() const { return report_.caches.front(); }

    void print_head() const {
        std::string head = left("cache", name_width_ + 2) +
                           right(fmt::format("bytes at {}", headline_usage(full()).tokens), 16) +
                           left("   of full", kBarWidth + 11);
        if (full().text) head += right("perplexity", 12) + right("change", 10);
        if (full().needle) head += right("needles", 10);
        if (full().task) head += right(report_.task_name, 10);
        if (!full().speed.empty())
            head += right(fmt::format("tokens/s at {}{:8}", full().speed.back().depth, ""), 32);
        fmt::print("{}\n", painter_.paint(head, kGrey));
    }

    [[nodiscard]] std::string cell(const std::vector<Loss>& losses, Loss::Of of,
                                   const std::string& padded) const {
        for (const Loss& loss : losses) {
            if (loss.of == of) return painter_.paint(padded, loss.severe ? kRed : kYellow);
        }
        return padded;
    }

    [[nodiscard]] std::string mark_if(bool is_loss, const std::string& padded) const {
        return is_loss ? painter_.paint(padded, kRed) : padded;
    }

    void print_row(size_t row) const {
        const ComparedCache& cache = report_.caches[row];
        const std::vector<Loss> losses = losses_of(report_, cache);
        const int color = kRowColors.at(row % kRowColors.size());
        const CacheUsage usage = headline_usage(cache);
        const double share = share_of_full(usage, headline_usage(full()));
        std::string line =
            painter_.paint("●", color) + " " +
            painter_.paint(left(cache.name, name_width_), color, true) +
            right(format_bytes(usage.bytes_allocated), 16) + "   " +
            painter_.paint(bar(share), color) +
            mark_if(row > 0 && share >= 1, right(fmt::format("{:.0f} %", 100 * share), 7)) + " ";
        if (cache.text) {
            line += right(fmt::format("{:.2f}", cache.text->perplexity()), 12);
            line += cell(losses, Loss::Of::kText,
                         right(row == 0 ? "" : format_change(cache.text->relative_change()), 10));
        }
        if (cache.needle) {
            line += cell(
                losses, Loss::Of::kNeedle,
                right(fmt::format("{}/{}", cache.needle->num_found(), cache.needle->found.size()),
                      10));
        }
        if (cache.task)
            line += cell(losses, Loss::Of::kTask,
                         right(fmt::format("{:.1f} %", 100 * cache.task->accuracy()), 10));
        if (!cache.speed.empty()) line += speed_cell(cache);
        fmt::print("{}\n", line);
    }

    [[nodiscard]] std::string speed_cell(const ComparedCache& cache) const {
        const SpeedScore& speed = cache.speed.back();
        const std::string padded = right(
            cache.method.empty()
                ? fmt::format("{:.0f}{:22}", speed.tokens_per_second, "")
                : fmt::format("{:.0f} {}", speed.tokens_per_second, left(format_share(speed), 21)),
            32);
        if (!cache.method.empty() && speed.share_low >= 1.05) return painter_.paint(padded, kGreen);
        const auto loss = speed_loss(report_, cache, cache.speed.size() - 1);
        return loss ? painter_.paint(padded, loss->severe ? kRed : kYellow) : padded;
    }

    const ComparisonReport& report_;
    Painter painter_;
    size_t name_width_ = 0;
};

}  // namespace

void print_comparison(const ComparisonReport& report) {
    if (report.caches.empty()) return;
    Table(report).print();
    fmt::print("\n");
    for (const std::string& sentence : findings(report)) fmt::print("{}\n", sentence);
}

}  // namespace lowkey::cli
