#include "eval/comparison_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <utility>

#include "base/error.h"
#include "eval/random_cache.h"
#include "eval/side_by_side.h"
#include "report/shown_text.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using Results = ComparisonStep::Results;
using Steps = std::vector<ComparisonStep>;

// What work costs beside that of a prompt's token, for the time left.
constexpr double kDecodeStep = 10;     // its weights, which all caches share
constexpr double kDecodeToken = 2;     // each cache's part of it
constexpr double kLoneStep = 12;       // a step of one cache alone
constexpr double kFilledToken = 0.02;  // a token of random numbers
constexpr double kQuestion = 100;

constexpr int64_t kAnswerTokens = 24;  // seven digits, one a token perhaps, and words before them
constexpr int64_t kUsualAnswer = 10;   // steps until it is there
constexpr size_t kShownPrompt = 240;   // bytes of a prompt that a report shows

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

void add_memory_steps(Contest& contest, Steps& steps) {
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
        const auto take = [&contest](const Results& results) {
            for (size_t i = 0; i < results.size(); ++i)
                contest.report.caches[i].memory.push_back(results[i].cache);
        };
        steps.push_back({.label = fmt::format("bytes at {}", length),
                         .cost = kFilledToken * prompt_cost(contest, length),
                         .scores = {},
                         .run = run,
                         .take = take});
    }
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
    const Continuations written =
        continue_side_by_side(contest.engines, contest.tokenizer, prompt,
                              {.max_new_tokens = contest.tasks.max_new_tokens});
    Results results;
    for (size_t i = 0; i < written.ids.size(); ++i) {
        results.push_back({.scores = {},
                           .answer = shown_text(contest.tokenizer.decode(written.ids[i], true)),
                           .cache = written.usage[i]});
    }
    return results;
}

void add_sample_steps(Contest& contest, Steps& steps) {
    for (const auto& [name, tokens] : contest.tasks.prompts) {
        const auto length = std::ssize(tokens);
        if (length == 0) throw UsageError("an empty prompt", "--prompt", "give some text");
        check_requests(contest, length, contest.tasks.max_new_tokens);
        contest.report.prompts.push_back(
            {.name = name,
             .end = shown_text(end_of(contest.tokenizer.decode(tokens, true))),
             .tokens = length});
        const auto take = [&contest](const Results& results) {
            for (size_t i = 0; i < results.size(); ++i)
                contest.report.caches[i].samples.push_back(results[i].answer);
        };
        steps.push_back({.label = "sample",
                         .cost = prompt_cost(contest, length) +
                                 decode_cost(contest, contest.tasks.max_new_tokens),
                         .scores = {},
                         .run = [&contest, &ids = tokens] { return run_sample(contest, ids); },
                         .take = take});
    }
}

/// Caches in turn, and again, so that a busy minute of the machine harms all of them alike.
Results run_speed(const Contest& contest, int64_t depth) {
    const SpeedOptions& options = contest.tasks.speed;
    std::vector<std::vector<DecodeSpeed>> runs(contest.engines.size());
    for (int round = 0; round < options.repeat; ++round) {
        for (size_t i = 0; i < runs.size(); ++i)
            runs[i].push_back(run_decode(*contest.engines[i], depth, options));
    }
    Results results;
    for (std::vector<DecodeSpeed>& own : runs) {
        const auto middle = own.begin() + (std::ssize(own) - 1) / 2;
        std::nth_element(own.begin(), middle, own.end(), [](const auto& a, const auto& b) {
            return a.times.total() < b.times.total();
        });
        const double attention = middle->times.seconds[static_cast<size_t>(Phase::kAttention)];
        results.push_back(
            {.scores = {{"seconds", middle->times.total()}, {"attention_seconds", attention}}});
    }
    return results;
}

void add_speed_steps(Contest& contest, Steps& steps) {
    const SpeedOptions& asked = contest.tasks.speed;
    contest.report.speed_steps = asked.generate;
    contest.report.speed_repeats = asked.repeat;
    SpeedOptions options = asked;
    options.prompts.clear();
    for (Engine* engine : contest.engines) check_speed(*engine, options);
    for (const int64_t depth : asked.depths) {
        const auto take = [&contest, depth](const Results& results) {
            for (size_t i = 0; i < results.size(); ++i) {
                const auto& scores = results[i].scores;
                contest.report.caches[i].speed.push_back(
                    {.depth = depth,
                     .tokens_per_second = 1 / scores.at("seconds"),
                     .attention_seconds = scores.at("attention_seconds")});
            }
        };
        const double run_cost = kLoneStep * static_cast<double>(asked.generate) +
                                kFilledToken * static_cast<double>(depth);
        steps.push_back(
            {.label = fmt::format("speed at {}", depth),
             .cost = run_cost * asked.repeat * static_cast<double>(contest.engines.size()),
             .scores = {"seconds", "attention_seconds"},
             .run = [&contest, depth] { return run_speed(contest, depth); },
             .take = take});
    }
}

Results run_window(const Contest& contest, std::span<const int32_t> window) {
    Results results;
    for (const WindowScore& score :
         score_side_by_side(contest.engines, window, contest.tasks.prefill)) {
        results.push_back({.scores = {{"nll", score.nll},
                                      {"change", score.change},
                                      {"change_squared", score.change_squared},
                                      {"kl", score.kl},
                                      {"top1", score.top1}},
                           .cache = score.cache});
    }
    return results;
}

/// Means over the windows so far, all of which have so many targets.
class TextMeans {
public:
    void add(const ItemResult& result, int64_t targets) {
        ++windows_;
        for (const auto& [name, value] : result.scores) sums_[name] += value;
        score_.nll = mean("nll");
        score_.change = mean("change");
        score_.kl = mean("kl");
        score_.top1 = mean("top1");
        const double variance =
            std::max(0.0, mean("change_squared") - score_.change * score_.change);
        const auto n = static_cast<double>(windows_ * targets);
        score_.change_error = n > 1 ? std::sqrt(variance / (n - 1)) : 0;
        score_.cache = result.cache;
    }
    [[nodiscard]] const TextScore& score() const { return score_; }

private:
    [[nodiscard]] double mean(const std::string& name) const {
        return sums_.at(name) / static_cast<double>(windows_);
    }
    int64_t windows_ = 0;
    std::map<std::string, double> sums_;
    TextScore score_;
};

void add_text_steps(Contest& contest, Steps& steps) {
    const auto& windows = contest.tasks.windows;
    if (windows.empty()) return;
    const int64_t prefill = contest.tasks.prefill;
    const int64_t length = std::ssize(windows.front());
    const int64_t targets = length - 1 - prefill;
    if (prefill < 0 || targets < 1) {
        throw UsageError(
            fmt::format("windows of {} tokens have no target after {} prefilled tokens", length,
                        prefill),
            "--prefill", "use longer windows or a shorter prefill");
    }
    contest.report.windows = std::ssize(windows);
    contest.report.window_length = length;
    contest.report.window_prefill = prefill;
    contest.report.targets = targets * std::ssize(windows);
    check_requests(contest, length, 0);
    const auto means = std::make_shared<std::vector<TextMeans>>(contest.engines.size());
    const auto take = [&contest, targets, means](const Results& results) {
        for (size_t i = 0; i < results.size(); ++i) {
            (*means)[i].add(results[i], targets);
            contest.report.caches[i].text = (*means)[i].score();
        }
    };
    for (const std::span<const int32_t> window : windows) {
        LOWKEY_CHECK(std::ssize(window) == length);
        steps.push_back({.label = "perplexity",
                         .cost = prompt_cost(contest, prefill) + decode_cost(contest, targets),
                         .scores = {"nll", "change", "change_squared", "kl", "top1"},
                         .run = [&contest, window] { return run_window(contest, window); },
                         .take = take});
    }
}

/// Whether something follows the first number.
bool number_is_over(const std::string& text) {
    const size_t digit = text.find_first_of("0123456789");
    return digit != std::string::npos &&
           text.find_first_not_of("0123456789", digit) != std::string::npos;
}

Results run_needle(const Contest& contest, const NeedlePrompt& prompt) {
    const Tokenizer& tokenizer = contest.tokenizer;
    ContinueOptions options{.max_new_tokens = kAnswerTokens};
    std::vector<int32_t> text = prompt.text;
    if (contest.tasks.needle.decode_question) {
        options.decoded_prompt = prompt.question;
    } else {
        text.insert(text.end(), prompt.question.begin(), prompt.question.end());
    }
    options.is_complete = [&](std::span<const int32_t> ids) {
        return number_is_over(tokenizer.decode(ids, true));
    };
    const Continuations written = continue_side_by_side(contest.engines, tokenizer, text, options);
    Results results;
    for (size_t i = 0; i < written.ids.size(); ++i) {
        std::string answer = tokenizer.decode(written.ids[i], true);
        const double score = answers(answer, prompt.answer) ? 1 : 0;
        results.push_back(
            {.scores = {{"score", score}}, .answer = std::move(answer), .cache = written.usage[i]});
    }
    return results;
}

void take_needle(Contest& contest, const Results& results) {
    for (size_t i = 0; i < results.size(); ++i) {
        NeedleScore& needle = *contest.report.caches[i].needle;
        needle.found.push_back(results[i].scores.at("score") > 0.5);
        if (results[i].cache.tokens > needle.cache.tokens) needle.cache = results[i].cache;
    }
}

void add_needle_steps(Contest& contest, Steps& steps) {
    if (contest.tasks.haystack.empty()) return;
    const NeedleOptions& options = contest.tasks.needle;
    const auto hay = std::make_shared<const std::vector<int32_t>>(
        tokenize_haystack(contest.tokenizer, contest.tasks.haystack));
    for (ComparedCache& cache : contest.report.caches) cache.needle.emplace();
    uint64_t seed = options.seed * 1000003;
    const auto add = [&](const NeedlePlace& place) {
        const auto make = [&contest, hay, place, seed] {
            return make_needle_prompt(contest.tokenizer, *hay, place.length, place.depth,
                                      contest.tasks.needle, seed);
        };
        ++seed;
        contest.report.needles.push_back(place);
        steps.push_back(
            {.label = fmt::format("needle in {}", place.length),
             .cost = prompt_cost(contest, place.length) + decode_cost(contest, kUsualAnswer),
             .scores = {"score"},
             .run = [&contest, make] { return run_needle(contest, make()); },
             .take = [&contest](const Results& r) { take_needle(contest, r); }});
    };
    for (const int64_t length : options.lengths) {
        static_cast<void>(
            make_needle_prompt(contest.tokenizer, *hay, length, 0, options, options.seed));
        check_requests(contest, length, kAnswerTokens);
        for (const double depth : options.depths) {
            for (int64_t trial = 0; trial < options.trials; ++trial) add({length, depth});
        }
    }
}

Results run_question(const Contest& contest, const ZeroshotItem& question) {
    Results results;
    for (Engine* engine : contest.engines) {
        const ZeroshotResult result =
            evaluate_zeroshot(*engine, contest.tokenizer, *contest.tasks.task, {&question, 1},
                              contest.tasks.zeroshot);
        ItemResult& row = results.emplace_back(
            ItemResult{.scores = {{"accuracy", result.accuracy}}, .cache = result.cache});
        if (result.accuracy_norm) row.scores["accuracy_norm"] = *result.accuracy_norm;
    }
    return results;
}

void take_question(Contest& contest, const Results& results) {
    for (size_t i = 0; i < results.size(); ++i) {
        TaskScore& task = *contest.report.caches[i].task;
        task.right.push_back(results[i].scores.at("accuracy") > 0.5);
        if (contest.tasks.task->normalized)
            task.right_norm.push_back(results[i].scores.at("accuracy_norm") > 0.5);
        if (results[i].cache.tokens > task.cache.tokens) task.cache = results[i].cache;
    }
}

void add_question_steps(Contest& contest, Steps& steps) {
    const ZeroshotTask* task = contest.tasks.task;
    if (task == nullptr || contest.tasks.questions.empty()) return;
    contest.report.task_name = task->name;
    for (ComparedCache& cache : contest.report.caches) cache.task.emplace();
    std::vector<std::string> scores = {"accuracy"};
    if (task->normalized) scores.emplace_back("accuracy_norm");
    for (const ZeroshotItem& question : contest.tasks.questions) {
        steps.push_back({.label = task->name,
                         .cost = prompt_cost(contest, kQuestion),
                         .scores = scores,
                         .run = [&contest, &question] { return run_question(contest, question); },
                         .take = [&contest](const Results& r) { take_question(contest, r); }});
    }
}

}  // namespace

std::vector<ComparisonStep> comparison_steps(Contest& contest) {
    Steps steps;
    add_memory_steps(contest, steps);
    // Early, so that a quiet machine need not be kept for long.
    add_speed_steps(contest, steps);
    add_sample_steps(contest, steps);
    add_text_steps(contest, steps);
    add_needle_steps(contest, steps);
    add_question_steps(contest, steps);
    return steps;
}

}  // namespace lowkey
