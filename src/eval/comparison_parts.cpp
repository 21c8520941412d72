#include "eval/comparison_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "eval/paired_speed.h"
#include "eval/protocols.h"
#include "eval/random_cache.h"
#include "eval/side_by_side.h"
#include "eval/window_scores.h"
#include "report/shown_text.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using Results = std::vector<ItemResult>;
using AllResults = std::span<const Results>;

// What work costs beside that of a prompt's token, for the time left.
constexpr double kDecodeStep = 10;     // its weights, which all caches share
constexpr double kDecodeToken = 2;     // each cache's part of it
constexpr double kLoneStep = 12;       // a step of one cache alone
constexpr double kFilledToken = 0.02;  // a token of random numbers
constexpr int64_t kQuestion = 100;

// Scores of a speed.
constexpr char kSeconds[] = "seconds";
constexpr char kAttention[] = "attention_seconds";
constexpr char kShare[] = "share";
constexpr char kShareLow[] = "share_low";
constexpr char kShareHigh[] = "share_high";

constexpr int64_t kUsualAnswer = 10;  // steps until a needle's number is there
constexpr size_t kShownPrompt = 240;  // bytes of a prompt that a report shows

double prompt_cost(const Contest& contest, int64_t tokens) {
    return static_cast<double>(tokens) * static_cast<double>(contest.engines.size());
}

double decode_cost(const Contest& contest, int64_t steps) {
    return static_cast<double>(steps) *
           (kDecodeStep + kDecodeToken * static_cast<double>(contest.engines.size()));
}

/// Refuses now what a cache could not do in an hour.
void check_requests(const Contest& contest, int64_t prompt_tokens, int64_t new_tokens) {
    for (Engine* engine : contest.engines)
        engine->check_request(*engine->new_sequence(), prompt_tokens, new_tokens);
}

ComparisonPart memory_part(Contest& contest) {
    ComparisonPart part;
    contest.report.lengths = contest.tasks.lengths;
    for (const int64_t length : contest.tasks.lengths) {
        check_requests(contest, length, 0);
        const auto run = [&contest, length] {
            Results results;
            for (Engine* engine : contest.engines) {
                const auto sequence = engine->new_sequence();
                fill_cache(*sequence, length, contest.tasks.speed.chunk_tokens);
                results.push_back({.scores = {}, .cache = engine->usage(*sequence)});
            }
            return results;
        };
        part.items.push_back({.run = run,
                              .label = fmt::format("bytes at {}", length),
                              .cost = kFilledToken * prompt_cost(contest, length)});
    }
    part.take = [&contest](AllResults all) {
        for (const Results& results : all) {
            for (size_t i = 0; i < results.size(); ++i)
                contest.report.caches[i].memory.push_back(results[i].cache);
        }
    };
    return part;
}

/// The last words of a text, from a character's start.
std::string end_of(const std::string& text) {
    if (text.size() <= kShownPrompt) return text;
    size_t begin = text.size() - kShownPrompt;
    while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xc0u) == 0x80u)
        ++begin;
    return "… " + text.substr(begin);
}

Results run_sample(const Contest& contest, const std::vector<int32_t>& prompt) {
    const Continuations written = continue_side_by_side(
        contest.engines, contest.tokenizer, prompt,
        {.stepping = Stepping::kTogether, .max_new_tokens = contest.tasks.max_new_tokens});
    Results results;
    for (size_t i = 0; i < written.ids.size(); ++i) {
        results.push_back({.scores = {},
                           .answer = shown_text(contest.tokenizer.decode(written.ids[i], true)),
                           .cache = written.usage[i]});
    }
    return results;
}

ComparisonPart sample_part(Contest& contest) {
    ComparisonPart part;
    for (const auto& [name, tokens] : contest.tasks.prompts) {
        const auto length = std::ssize(tokens);
        if (length == 0) throw UsageError("an empty prompt", "--prompt", "give some text");
        check_requests(contest, length, contest.tasks.max_new_tokens);
        contest.report.prompts.push_back(
            {.name = name,
             .end = shown_text(end_of(contest.tokenizer.decode(tokens, true))),
             .tokens = length});
        part.items.push_back({.run = [&contest, &ids = tokens] { return run_sample(contest, ids); },
                              .label = "sample",
                              .cost = prompt_cost(contest, length) +
                                      decode_cost(contest, contest.tasks.max_new_tokens)});
    }
    part.take = [&contest](AllResults all) {
        for (const Results& results : all) {
            for (size_t i = 0; i < results.size(); ++i)
                contest.report.caches[i].samples.push_back(results[i].answer);
        }
    };
    return part;
}

Results run_speed(const Contest& contest, int64_t depth) {
    Results results;
    for (const PairedSpeed& speed : run_paired(contest.engines, depth, contest.tasks.speed)) {
        const PhaseTimes& times = speed.run.times;
        results.push_back({.scores = {{kSeconds, times.total()},
                                      {kAttention, times.of(Phase::kAttention)},
                                      {kShare, speed.share.median},
                                      {kShareLow, speed.share.low},
                                      {kShareHigh, speed.share.high}}});
    }
    return results;
}

ComparisonPart speed_part(Contest& contest) {
    ComparisonPart part;
    const SpeedOptions& asked = contest.tasks.speed;
    contest.report.speed_steps = asked.generate;
    contest.report.speed_repeats = asked.repeat;
    SpeedOptions options = asked;
    options.prompts.clear();
    for (Engine* engine : contest.engines) check_speed(*engine, options);
    for (const int64_t depth : asked.depths) {
        const double run_cost = kLoneStep * static_cast<double>(asked.generate) +
                                kFilledToken * static_cast<double>(depth);
        part.items.push_back(
            {.scores = {kSeconds, kAttention, kShare, kShareLow, kShareHigh},
             .run = [&contest, depth] { return run_speed(contest, depth); },
             .label = fmt::format("speed at {}", depth),
             .cost = run_cost * asked.repeat * static_cast<double>(contest.engines.size() + 1)});
    }
    part.take = [&contest](AllResults all) {
        for (size_t d = 0; d < all.size(); ++d) {
            for (size_t i = 0; i < all[d].size(); ++i) {
                const auto& scores = all[d][i].scores;
                contest.report.caches[i].speed.push_back(
                    {.depth = contest.tasks.speed.depths[d],
                     .tokens_per_second = 1 / scores.at(kSeconds),
                     .attention_seconds = scores.at(kAttention),
                     .share = scores.at(kShare),
                     .share_low = scores.at(kShareLow),
                     .share_high = scores.at(kShareHigh)});
            }
        }
    };
    return part;
}

/// What windows, all of which have so many targets, come to for one cache.
TextScore text_score(AllResults all, size_t cache, int64_t targets) {
    namespace score = window_score;
    const auto mean = [&](const char* name) {
        double sum = 0;
        for (const Results& results : all) sum += results[cache].scores.at(name);
        return sum / static_cast<double>(all.size());
    };
    TextScore text{.nll = mean(score::kNll),
                   .change = mean(score::kChange),
                   .kl = mean(score::kKl),
                   .top1 = mean(score::kSameFirst),
                   .cache = all.back()[cache].cache};
    text.change_error =
        error_of_mean(text.change, mean(score::kChangeSquared), std::ssize(all) * targets);
    return text;
}

ComparisonPart text_part(Contest& contest) {
    const auto& windows = contest.tasks.windows;
    if (windows.empty()) return {};
    ComparisonPart part;
    const int64_t prefill = contest.tasks.prefill;
    const int64_t length = std::ssize(windows.front());
    int64_t targets = 0;
    for (const std::span<const int32_t> tokens : windows) {
        LOWKEY_CHECK(std::ssize(tokens) == length);
        const ScoredWindow window(tokens, prefill);
        targets = window.targets();
        part.items.push_back(
            {.scores = window_score_names(true),
             .run =
                 [&contest, window] {
                     return score_window(contest.engines, window,
                                         {.stepping = Stepping::kTogether, .reference = 0});
                 },
             .label = "perplexity",
             .cost = prompt_cost(contest, prefill) + decode_cost(contest, targets)});
    }
    contest.report.windows = std::ssize(windows);
    contest.report.window_length = length;
    contest.report.window_prefill = prefill;
    contest.report.targets = targets * std::ssize(windows);
    contest.report.text_scored = windows_scored(prefill);
    check_requests(contest, length, 0);
    part.take = [&contest, targets](AllResults all) {
        for (size_t i = 0; i < contest.engines.size(); ++i)
            contest.report.caches[i].text = text_score(all, i, targets);
    };
    return part;
}

/// The cache after the longest of some sequences; its peak is what it was then.
CacheUsage longest_of(AllResults all, size_t cache) {
    CacheUsage longest;
    for (const Results& results : all) {
        if (results[cache].cache.tokens > longest.tokens) longest = results[cache].cache;
    }
    return longest;
}

ComparisonPart needle_part(Contest& contest) {
    if (contest.tasks.haystack.empty()) return {};
    ComparisonPart part;
    part.items = needle_items(contest.engines, contest.tokenizer, contest.tasks.haystack,
                              contest.tasks.needle, Stepping::kTogether);
    for (const NeedleCell& place : needle_places(contest.tasks.needle)) {
        EvalItem& item = part.items[contest.report.needles.size()];
        item.cost = prompt_cost(contest, place.length) + decode_cost(contest, kUsualAnswer);
        contest.report.needles.push_back({place.length, place.depth});
    }
    part.take = [&contest](AllResults all) {
        for (size_t i = 0; i < contest.engines.size(); ++i) {
            NeedleScore& needle = contest.report.caches[i].needle.emplace();
            for (const Results& results : all)
                needle.found.push_back(results[i].scores.at(kScore) > 0.5);
            needle.cache = longest_of(all, i);
        }
    };
    return part;
}

ComparisonPart question_part(Contest& contest) {
    const ZeroshotTask* task = contest.tasks.task;
    if (task == nullptr || contest.tasks.questions.empty()) return {};
    contest.report.task_name = task->name;
    ComparisonPart part;
    part.items = zeroshot_items(contest.engines, contest.tokenizer, *task, contest.tasks.questions,
                                contest.tasks.zeroshot);
    for (EvalItem& item : part.items) item.cost = prompt_cost(contest, kQuestion);
    part.take = [&contest, task](AllResults all) {
        for (size_t i = 0; i < contest.engines.size(); ++i) {
            TaskScore& score = contest.report.caches[i].task.emplace();
            for (const Results& results : all) {
                const auto& scores = results[i].scores;
                score.right.push_back(scores.at(zeroshot_score::kAccuracy) > 0.5);
                if (task->normalized)
                    score.right_norm.push_back(scores.at(zeroshot_score::kAccuracyNorm) > 0.5);
            }
            score.cache = longest_of(all, i);
        }
    };
    return part;
}

}  // namespace

std::vector<ComparisonPart> comparison_parts(Contest& contest) {
    std::vector<ComparisonPart> parts;
    // Speed early, so that a quiet machine need not be kept for long.
    for (const auto make :
         {memory_part, speed_part, sample_part, text_part, needle_part, question_part}) {
        ComparisonPart part = make(contest);
        if (!part.items.empty()) parts.push_back(std::move(part));
    }
    return parts;
}

}  // namespace lowkey
