#include "eval/ruler.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <random>

#include "base/error.h"
#include "base/unicode.h"
#include "engine/generation.h"
#include "eval/magic_words.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

/// What prompts are filled with unless texts are given.
const std::vector<std::string>& own_sentences() {
    static const std::vector<std::string> sentences = {
        "The kettle is on the stove.", "A cart goes down the road.",
        "The rain stops before noon.", "Somebody opens a window.",
        "The dog sleeps by the door.", "Two boats lie in the harbour.",
        "The bread is still warm.",    "Leaves gather under the bench."};
    return sentences;
}

/// Sentences that say nothing: some, and then the same again.
struct Noise {
    std::span<const std::string> sentences;
    int64_t start = 0;

    [[nodiscard]] const std::string& at(int64_t index) const {
        return sentences[static_cast<size_t>((start + index) % std::ssize(sentences))];
    }
};

/// A prompt before it is tokens.
struct Draft {
    std::string text;
    std::vector<std::string> answers;
};

/// What a task makes a prompt of: `units` of noise (sentences, words), as large as fits `length`.
struct Request {
    std::span<const std::string> sentences;
    int64_t units = 0;
    int64_t length = 0;
};

int64_t random_below(int64_t end, std::mt19937_64& rng) {
    return std::uniform_int_distribution<int64_t>(0, end - 1)(rng);
}

template <typename T>
std::vector<T> shuffled(const std::vector<T>& items, std::mt19937_64& rng) {
    Deck deck(std::ssize(items));
    std::vector<T> out;
    while (deck.left() > 0) out.push_back(items[static_cast<size_t>(deck.draw(rng))]);
    return out;
}

/// Noise with sentences at random places, in the order given.
std::string hide(const std::vector<std::string>& sentences, const Request& request,
                 std::mt19937_64& rng) {
    const Noise noise{request.sentences, random_below(std::ssize(request.sentences), rng)};
    std::vector<int64_t> places;
    for (size_t i = 0; i < sentences.size(); ++i)
        places.push_back(random_below(request.units + 1, rng));
    std::sort(places.begin(), places.end());
    std::string text;
    size_t hidden = 0;
    for (int64_t unit = 0; unit <= request.units; ++unit) {
        for (; hidden < places.size() && places[hidden] == unit; ++hidden)
            text += sentences[hidden] + " ";
        if (unit < request.units) text += noise.at(unit) + " ";
    }
    text.pop_back();
    return text;
}

/// "a", "a and b", "a, b, and c"
std::string enumerate(const std::vector<std::string>& names) {
    if (names.size() == 1) return names.front();
    const auto first = std::span(names).first(names.size() - 1);
    return fmt::format("{}{} and {}", fmt::join(first, ", "), first.size() > 1 ? "," : "",
                       names.back());
}

/// Numbers under keys; the first `queries` keys are asked for.
Draft hide_needles(int64_t keys, int64_t values, int64_t queries, const Request& request,
                   std::mt19937_64& rng) {
    Draft draft;
    Deck deck(num_magic_keys());
    std::vector<std::string> sentences;
    std::vector<std::string> asked;
    for (int64_t k = 0; k < keys; ++k) {
        const std::string key = magic_key(deck.draw(rng));
        if (k < queries) asked.push_back(key);
        for (int64_t v = 0; v < values; ++v) {
            const std::string number = magic_number(rng);
            sentences.push_back(
                fmt::format("One of the special magic numbers for {} is: {}.", key, number));
            if (k < queries) draft.answers.push_back(number);
        }
    }
    const bool one = draft.answers.size() == 1;
    const std::string names = enumerate(asked);
    draft.text = fmt::format(
        "The text below mentions special magic numbers. Keep them in mind, they are asked for at "
        "its end.\n{}\n{} for {} mentioned in the provided text? The special magic {} for {} "
        "mentioned in the provided text {}",
        hide(shuffled(sentences, rng), request, rng),
        one ? "What is the special magic number" : "What are all the special magic numbers", names,
        one ? "number" : "numbers", names, one ? "is" : "are");
    return draft;
}

Draft draft_single(const Request& request, std::mt19937_64& rng) {
    return hide_needles(1, 1, 1, request, rng);
}
Draft draft_multikey(const Request& request, std::mt19937_64& rng) {
    return hide_needles(4, 1, 1, request, rng);
}
Draft draft_multivalue(const Request& request, std::mt19937_64& rng) {
    return hide_needles(1, 4, 1, request, rng);
}
Draft draft_multiquery(const Request& request, std::mt19937_64& rng) {
    return hide_needles(4, 1, 4, request, rng);
}

/// A number that is handed from variable to variable.
Draft draft_variables(const Request& request, std::mt19937_64& rng) {
    constexpr int64_t kVariables = 5;
    constexpr int64_t kLetters = 5;
    Draft draft;
    const int64_t value = 10000 + random_below(90000, rng);
    std::vector<std::string> sentences;
    while (std::ssize(draft.answers) < kVariables) {
        std::string name;
        for (int64_t i = 0; i < kLetters; ++i)
            name += static_cast<char>('A' + random_below(26, rng));
        if (std::find(draft.answers.begin(), draft.answers.end(), name) != draft.answers.end())
            continue;
        sentences.push_back(draft.answers.empty()
                                ? fmt::format("VAR {} = {}.", name, value)
                                : fmt::format("VAR {} = VAR {}.", name, draft.answers.back()));
        draft.answers.push_back(name);
    }
    draft.text = fmt::format(
        "The text below assigns values to variables. Follow the assignments from one variable to "
        "the next.\n{}\nQuestion: which variables have the value {}?\nAnswer: {} variables have "
        "the value {} in the text above, directly or through another variable. They are:",
        hide(sentences, request, rng), value, kVariables, value);
    return draft;
}

/// Three syllables: no word holds another one.
std::string made_up_word(int64_t index) {
    static constexpr std::string_view kConsonants = "bdfgklmnprstvz";
    static constexpr std::string_view kVowels = "aeiou";
    constexpr auto kSyllables = std::ssize(kConsonants) * std::ssize(kVowels);
    std::string word;
    for (int i = 0; i < 3; ++i, index /= kSyllables) {
        const int64_t syllable = index % kSyllables;
        word += kConsonants[static_cast<size_t>(syllable / std::ssize(kVowels))];
        word += kVowels[static_cast<size_t>(syllable % std::ssize(kVowels))];
    }
    return word;
}
constexpr int64_t kMadeUpWords = 70 * 70 * 70;

/// A list of words in which ten come often.
Draft draft_common_words(const Request& request, std::mt19937_64& rng) {
    constexpr int64_t kCommon = 10;
    // Below 4096 tokens RULER's counts would leave no room for other words.
    const bool is_long = request.length >= 4096;
    const int64_t often = is_long ? 30 : 10;
    const int64_t seldom = is_long ? 3 : 1;
    Draft draft;
    Deck deck(kMadeUpWords);
    std::vector<std::string> words;
    for (int64_t i = 0; i < kCommon + request.units; ++i) {
        const std::string word = made_up_word(deck.draw(rng));
        words.insert(words.end(), static_cast<size_t>(i < kCommon ? often : seldom), word);
        if (i < kCommon) draft.answers.push_back(word);
    }
    std::string list;
    int64_t number = 0;
    for (const std::string& word : shuffled(words, rng))
        list += fmt::format("{}. {} ", ++number, word);
    draft.text = fmt::format(
        "Below is a numbered list of words. Some of them come more often than the others; keep "
        "them in mind.\n{}\nQuestion: which {} words come most often in the list?\nAnswer: the {} "
        "most common words of the list are:",
        list, kCommon, kCommon);
    return draft;
}

struct Task {
    const char* name;
    int64_t max_new_tokens;  ///< as RULER has it
    Draft (*draft)(const Request& request, std::mt19937_64& rng);
};

constexpr std::array<Task, 6> kTasks = {{
    {"niah_single", 128, draft_single},
    {"niah_multikey", 128, draft_multikey},
    {"niah_multivalue", 128, draft_multivalue},
    {"niah_multiquery", 128, draft_multiquery},
    {"vt", 30, draft_variables},
    {"cwe", 120, draft_common_words},
}};

const Task& find_task(std::string_view name) {
    for (const Task& task : kTasks) {
        if (name == task.name) return task;
    }
    throw UsageError("unknown task", std::string(name),
                     fmt::format("give some of {}", fmt::join(ruler_tasks(), ", ")));
}

/// A prompt with so much noise.
RulerPrompt build(const Tokenizer& tokenizer, const Task& task, const Request& request,
                  uint64_t seed) {
    std::mt19937_64 rng(seed);
    Draft draft = task.draft(request, rng);
    return {.tokens = tokenizer.encode(draft.text, true),
            .answers = std::move(draft.answers),
            .max_new_tokens = task.max_new_tokens};
}

bool fits(const RulerPrompt& prompt, int64_t length) {
    return std::ssize(prompt.tokens) + prompt.max_new_tokens <= length;
}

Request smallest_request(std::span<const std::string> sentences, int64_t length) {
    return {sentences.empty() ? std::span(own_sentences()) : sentences, 1, length};
}

/// The prompt with least noise, which must fit.
RulerPrompt build_smallest(const Tokenizer& tokenizer, const Task& task, const Request& request,
                           uint64_t seed) {
    RulerPrompt prompt = build(tokenizer, task, request, seed);
    if (!fits(prompt, request.length)) {
        throw UsageError(
            fmt::format("{} takes {} tokens and {} for the answer, more than {}", task.name,
                        prompt.tokens.size(), prompt.max_new_tokens, request.length),
            "--lengths", "give a longer length, or other tasks");
    }
    return prompt;
}

ItemResult run_prompt(Engine& engine, const Tokenizer& tokenizer, const RulerPrompt& prompt,
                      const std::vector<int32_t>& eos_ids) {
    std::string text;
    GenerationOptions options{.max_new_tokens = prompt.max_new_tokens, .eos_ids = eos_ids};
    options.on_text = [&](std::string_view piece) { text += piece; };
    // Once all answers are there, no further text can change the score.
    options.should_stop = [&] { return string_match_all(text, prompt.answers) == 1; };
    const auto sequence = engine.new_sequence();
    const Generation result = generate(engine, *sequence, &tokenizer, prompt.tokens, options);
    return {.scores = {{kScore, string_match_all(result.text, prompt.answers)}},
            .answer = result.text,
            .cache = result.cache};
}

}  // namespace

std::vector<std::string> ruler_tasks() {
    std::vector<std::string> names;
    names.reserve(kTasks.size());
    for (const Task& task : kTasks) names.emplace_back(task.name);
    return names;
}

RulerPrompt make_ruler_prompt(const Tokenizer& tokenizer, std::string_view name,
                              std::span<const std::string> sentences, int64_t length,
                              uint64_t seed) {
    const Task& task = find_task(name);
    Request request = smallest_request(sentences, length);
    RulerPrompt prompt = build_smallest(tokenizer, task, request, seed);
    // Units that fit, and so many that they do not.
    int64_t low = 1;
    int64_t high = 2;
    const auto try_units = [&](int64_t units) {
        request.units = units;
        RulerPrompt larger = build(tokenizer, task, request, seed);
        if (!fits(larger, length)) return false;
        prompt = std::move(larger);
        low = units;
        return true;
    };
    while (try_units(high)) high *= 2;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (!try_units(middle)) high = middle;
    }
    return prompt;
}

double string_match_all(std::string_view text, std::span<const std::string> answers) {
    const std::string lower = to_lowercase(text);
    int64_t found = 0;
    for (const std::string& answer : answers)
        found += lower.find(to_lowercase(answer)) != std::string::npos ? 1 : 0;
    return static_cast<double>(found) / static_cast<double>(answers.size());
}

std::vector<RulerResult> evaluate_ruler(std::span<Engine* const> engines,
                                        const Tokenizer& tokenizer,
                                        std::span<const std::string> sentences,
                                        const RulerOptions& options, const ItemOptions& how) {
    const std::vector<std::string> tasks = options.tasks.empty() ? ruler_tasks() : options.tasks;
    if (options.lengths.empty()) throw UsageError("no length", "--lengths", "give at least one");
    if (options.samples < 1) throw UsageError("no samples", "--samples", "give at least 1");
    std::vector<RulerCell> cells;
    std::vector<EvalItem> items;
    for (const std::string& task : tasks) {
        for (const int64_t length : options.lengths) {
            // What cannot be is refused now, not after an hour.
            static_cast<void>(build_smallest(tokenizer, find_task(task),
                                             smallest_request(sentences, length), options.seed));
            for (Engine* engine : engines)
                engine->check_request(*engine->new_sequence(), length, 0);
            cells.push_back({task, length, 0});
            for (int64_t sample = 0; sample < options.samples; ++sample) {
                const uint64_t seed = options.seed * 1000003 + items.size();
                const auto run = [&, task, length, seed] {
                    const RulerPrompt prompt =
                        make_ruler_prompt(tokenizer, task, sentences, length, seed);
                    std::vector<ItemResult> results;
                    for (Engine* engine : engines)
                        results.push_back(run_prompt(*engine, tokenizer, prompt, options.eos_ids));
                    return results;
                };
                items.push_back({.scores = {kScore},
                                 .run = run,
                                 .label = task,
                                 .cost = static_cast<double>(length)});
            }
        }
    }
    const ItemResults all = run_items(items, std::ssize(engines), how);
    std::vector<RulerResult> out;
    for (size_t e = 0; e < engines.size(); ++e) {
        const std::vector<ItemResult> own = results_of(all, e);
        RulerResult& result = out.emplace_back();
        result.cells = cells;
        const auto samples = static_cast<size_t>(options.samples);
        for (size_t i = 0; i < cells.size(); ++i)
            result.cells[i].score =
                mean_score(std::span(own).subspan(i * samples, samples), kScore);
        result.mean = mean_score(own, kScore);
        result.cache = largest_cache(own);
    }
    return out;
}

RulerResult evaluate_ruler(Engine& engine, const Tokenizer& tokenizer,
                           std::span<const std::string> sentences, const RulerOptions& options,
                           const ItemOptions& how) {
    Engine* const engines[] = {&engine};
    return evaluate_ruler(engines, tokenizer, sentences, options, how).front();
}

}  // namespace lowkey
