#include "report/comparison_verdict.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace lowkey {
namespace {

constexpr double kSevereChange = 0.05;
constexpr double kSevereNeedles = 0.1;
constexpr double kSlower = 0.95;
constexpr double kSevereSlower = 0.8;

bool is_severe(const Loss& loss) { return loss.severe; }

double headline_share(const ComparisonReport& report, const ComparedCache& cache) {
    return share_of_full(headline_usage(cache), headline_usage(report.caches.front()));
}

void add_text_loss(const ComparedCache& cache, std::vector<Loss>& losses) {
    if (!cache.text) return;
    const TextScore& text = *cache.text;
    if (text.change <= 2 * text.change_error) return;
    losses.push_back({Loss::Of::kText, text.relative_change() >= kSevereChange,
                      "perplexity " + format_change(text.relative_change())});
}

void add_needle_loss(const ComparedCache& full, const ComparedCache& cache,
                     std::vector<Loss>& losses) {
    if (!cache.needle || !full.needle) return;
    const int64_t of = full.needle->num_found();
    const int64_t lost = of - cache.needle->num_found();
    if (lost <= 0) return;
    losses.push_back({Loss::Of::kNeedle,
                      static_cast<double>(lost) >= kSevereNeedles * static_cast<double>(of),
                      fmt::format("{} of {} needles lost", lost, of)});
}

void add_task_loss(const ComparisonReport& report, const ComparedCache& full,
                   const ComparedCache& cache, std::vector<Loss>& losses) {
    if (!cache.task || !full.task) return;
    int64_t lost = 0;
    int64_t won = 0;
    for (size_t i = 0; i < cache.task->right.size(); ++i) {
        lost += full.task->right[i] && !cache.task->right[i] ? 1 : 0;
        won += !full.task->right[i] && cache.task->right[i] ? 1 : 0;
    }
    if (static_cast<double>(lost - won) <= 2 * std::sqrt(static_cast<double>(lost + won))) return;
    losses.push_back({Loss::Of::kTask, true,
                      fmt::format("{} of {} {} answers lost, {} won", lost,
                                  cache.task->right.size(), report.task_name, won)});
}

/// That of the depth where it is worst.
void add_speed_loss(const ComparisonReport& report, const ComparedCache& cache,
                    std::vector<Loss>& losses) {
    std::optional<Loss> worst;
    double share = 0;
    for (size_t i = 0; i < cache.speed.size(); ++i) {
        std::optional<Loss> loss = speed_loss(report, cache, i);
        if (!loss || (worst && cache.speed[i].share >= share)) continue;
        share = cache.speed[i].share;
        worst = std::move(loss);
    }
    if (worst) losses.push_back(std::move(*worst));
}

void add_memory_loss(const ComparedCache& full, const ComparedCache& cache,
                     std::vector<Loss>& losses) {
    int64_t length = 0;
    for (size_t i = 0; i < std::min(cache.memory.size(), full.memory.size()); ++i) {
        if (cache.memory[i].bytes_allocated >= full.memory[i].bytes_allocated)
            length = cache.memory[i].tokens;
    }
    if (length == 0) return;
    const bool always = length == cache.memory.back().tokens;
    losses.push_back({Loss::Of::kMemory, always,
                      fmt::format("no smaller than uncompressed at {} tokens", length)});
}

/// "a, b and c"
std::string join(const std::vector<std::string>& words) {
    if (words.size() < 2) return words.empty() ? "" : words.front();
    return fmt::format("{} and {}", fmt::join(words.begin(), words.end() - 1, ", "), words.back());
}

std::string describe(const ComparisonReport& report, const ComparedCache& cache) {
    return fmt::format("{} ({:.0f} % of the bytes)", cache.name,
                       100 * headline_share(report, cache));
}

std::vector<std::string> words_of(const std::vector<Loss>& losses) {
    std::vector<std::string> words;
    for (const Loss& loss : losses) words.push_back(loss.what);
    return words;
}

/// The one that most readers look for.
std::string best_sentence(const ComparisonReport& report) {
    const ComparedCache* best = nullptr;
    for (const ComparedCache& cache : report.caches) {
        if (cache.method.empty()) continue;
        const std::vector<Loss> losses = losses_of(report, cache);
        if (std::any_of(losses.begin(), losses.end(), is_severe)) continue;
        if (best == nullptr || headline_share(report, cache) < headline_share(report, *best))
            best = &cache;
    }
    if (best == nullptr)
        return "No compressed cache gets by without a severe loss: see what each one loses.";
    const std::vector<std::string> losses = words_of(losses_of(report, *best));
    return fmt::format(
        "The smallest cache without a severe loss is {}; {}.", describe(report, *best),
        losses.empty() ? "this run sees no loss of it" : "its price: " + join(losses));
}

/// What speeds stand on, and what the uncompressed cache loses against itself.
std::string speed_words(const ComparisonReport& report) {
    if (report.caches.empty() || report.caches.front().speed.empty()) return {};
    double noise = 0;
    bool enough = true;
    for (const SpeedScore& speed : report.caches.front().speed) {
        noise = std::max({noise, 1 - speed.share_low, speed.share_high - 1});
        enough = enough && speed.has_interval();
    }
    if (!enough) {
        return fmt::format(
            "speeds on {}, too few to call one slower",
            report.speed_repeats == 1 ? "one run" : fmt::format("{} runs", report.speed_repeats));
    }
    return fmt::format(
        "speeds on {} runs in turn, where the uncompressed cache differs from itself "
        "by up to {:.0f} %",
        report.speed_repeats, 100 * noise);
}

/// What a run of this size cannot see.
std::string limits_sentence(const ComparisonReport& report) {
    std::vector<std::string> words;
    if (report.targets > 0)
        words.push_back(fmt::format("perplexity stands on {} {} in {} windows", report.targets,
                                    report.text_scored, report.windows));
    if (!report.needles.empty())
        words.push_back(fmt::format("needles on {} prompts, so that one more or less is {:.0f} %",
                                    report.needles.size(),
                                    100.0 / static_cast<double>(report.needles.size())));
    if (!report.caches.empty() && report.caches.front().task)
        words.push_back(fmt::format("{} on {} questions, ± {:.1f} points", report.task_name,
                                    report.caches.front().task->right.size(),
                                    100 * report.caches.front().task->accuracy_error()));
    if (std::string speeds = speed_words(report); !speeds.empty())
        words.push_back(std::move(speeds));
    if (words.empty()) return {};
    return "How far to trust it: " + join(words) + ".";
}

/// Names of caches of no more bytes whose text and needles are both no worse, and one of the three
/// better: reasons never to take this one.
std::vector<std::string> beaten_by(const ComparisonReport& report, const ComparedCache& cache) {
    std::vector<std::string> names;
    if (cache.method.empty() || (!cache.text && !cache.needle)) return names;
    for (const ComparedCache& other : report.caches) {
        const double bytes = headline_share(report, cache) - headline_share(report, other);
        const double text = cache.text && other.text ? cache.text->nll - other.text->nll : 0;
        const int64_t needles = cache.needle && other.needle
                                    ? other.needle->num_found() - cache.needle->num_found()
                                    : 0;
        if (bytes >= 0 && text >= 0 && needles >= 0 && (bytes > 0 || text > 0 || needles > 0))
            names.push_back(other.name);
    }
    return names;
}

}  // namespace

std::string format_change(double share) {
    const std::string text = fmt::format("{:+.{}f} %", 100 * share, std::abs(share) < 0.1 ? 2 : 1);
    return text == "-0.00 %" || text == "+0.00 %" ? "±0.00 %" : text;
}

std::optional<Loss> speed_loss(const ComparisonReport& report, const ComparedCache& cache,
                               size_t depth) {
    const std::vector<SpeedScore>& full = report.caches.front().speed;
    if (depth >= std::min(cache.speed.size(), full.size())) return std::nullopt;
    const SpeedScore& speed = cache.speed[depth];
    if (!speed.has_interval() || !full[depth].has_interval()) return std::nullopt;
    if (speed.share_high >= std::min(kSlower, full[depth].share_low)) return std::nullopt;
    return Loss{Loss::Of::kSpeed, speed.share_high < kSevereSlower,
                fmt::format("speed {} at {} tokens", format_share(speed), speed.depth)};
}

std::string format_share(const SpeedScore& speed) {
    if (!speed.has_interval()) return fmt::format("{:.2f}×", speed.share);
    return fmt::format("{:.2f}× ({:.2f} to {:.2f})", speed.share, speed.share_low,
                       speed.share_high);
}

std::vector<Loss> losses_of(const ComparisonReport& report, const ComparedCache& cache) {
    std::vector<Loss> losses;
    if (cache.method.empty() || report.caches.empty()) return losses;
    const ComparedCache& full = report.caches.front();
    add_text_loss(cache, losses);
    add_needle_loss(full, cache, losses);
    add_task_loss(report, full, cache, losses);
    add_speed_loss(report, cache, losses);
    add_memory_loss(full, cache, losses);
    return losses;
}

CacheUsage headline_usage(const ComparedCache& cache) {
    if (cache.text) return cache.text->cache;
    if (cache.needle) return cache.needle->cache;
    return cache.memory.empty() ? CacheUsage{} : cache.memory.back();
}

double share_of_full(const CacheUsage& usage, const CacheUsage& full) {
    return full.ratio() > 0 ? usage.ratio() / full.ratio() : usage.ratio();
}

std::vector<std::string> findings(const ComparisonReport& report) {
    std::vector<std::string> sentences;
    if (report.caches.size() > 1) sentences.push_back(best_sentence(report));
    std::vector<std::string> lossless;
    for (const ComparedCache& cache : report.caches) {
        if (cache.method.empty()) continue;
        const std::vector<Loss> losses = losses_of(report, cache);
        const std::vector<std::string> beating = beaten_by(report, cache);
        const std::string beaten =
            beating.empty() ? "" : fmt::format("; beaten by {}", join(beating));
        if (!losses.empty()) {
            const bool severe = std::any_of(losses.begin(), losses.end(), is_severe);
            sentences.push_back(fmt::format("{} {}: {}{}.", describe(report, cache),
                                            severe ? "loses" : "gives a little",
                                            join(words_of(losses)), beaten));
        } else if (beating.empty()) {
            lossless.push_back(describe(report, cache));
        } else {
            sentences.push_back(
                fmt::format("No loss was seen of {}{}.", describe(report, cache), beaten));
        }
    }
    if (!lossless.empty())
        sentences.push_back(fmt::format("No loss was seen of {}.", join(lossless)));
    if (std::string limits = limits_sentence(report); !limits.empty())
        sentences.push_back(std::move(limits));
    return sentences;
}

}  // namespace lowkey
