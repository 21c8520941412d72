#include "eval/needle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <utility>

#include "base/error.h"
#include "eval/magic_words.h"
#include "eval/sentences.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

constexpr std::array<const char*, 8> kCities = {"San Francisco", "Lisbon", "Kyoto",  "Nairobi",
                                                "Montreal",      "Oslo",   "Havana", "Perth"};

struct Needle {
    std::string sentence;
    std::string question;
    std::string number;
};

/// How many keys of needles there are.
int64_t num_keys(NeedleKind kind) {
    return kind == NeedleKind::kNumber ? num_magic_keys() : std::ssize(kCities);
}

/// `count` needles whose keys all differ.
std::vector<Needle> make_needles(NeedleKind kind, int64_t count, std::mt19937_64& rng) {
    Deck keys(num_keys(kind));
    std::vector<Needle> needles;
    for (int64_t i = 0; i < count; ++i) {
        const int64_t key = keys.draw(rng);
        const std::string number = magic_number(rng);
        if (kind == NeedleKind::kNumber) {
            const std::string name = magic_key(key);
            needles.push_back(
                {fmt::format(" One of the special magic numbers for {} is: {}.", name, number),
                 fmt::format("\nWhat is the special magic number for {0} mentioned in the provided "
                             "text? The special magic number for {0} mentioned in the provided "
                             "text is",
                             name),
                 number});
        } else {
            const char* city = kCities.at(static_cast<size_t>(key));
            needles.push_back(
                {fmt::format(" The best thing to do in {} is to eat a sandwich in the park at "
                             "number {} on a sunny day.",
                             city, number),
                 fmt::format("\nQuestion: at which number is the park with the best thing to do in "
                             "{}?\nAnswer: the best thing to do in {} is to eat a sandwich in the "
                             "park at number",
                             city, city),
                 number});
        }
    }
    return needles;
}

void check(const NeedleOptions& options) {
    const auto refuse = [](const std::string& what, const char* flag, const char* remedy) {
        throw UsageError(what, flag, remedy);
    };
    if (options.lengths.empty()) refuse("no length", "--lengths", "give at least one");
    if (options.depths.empty()) refuse("no depth", "--depths", "give at least one");
    for (const double depth : options.depths) {
        if (!(depth >= 0 && depth <= 1))
            refuse(fmt::format("a depth of {}", depth), "--depths", "give 0 to 1");
    }
    if (options.trials < 1) refuse("no trials", "--trials", "give at least 1");
    const int64_t most = num_keys(options.kind);
    if (options.needles < 1 || options.needles > most) {
        throw UsageError(fmt::format("{} needles", options.needles), "--needles",
                         fmt::format("give 1 to {}", most));
    }
}

/// Whether something follows the first number.
bool number_is_over(const std::string& text) {
    const size_t digit = text.find_first_of("0123456789");
    return digit != std::string::npos &&
           text.find_first_not_of("0123456789", digit) != std::string::npos;
}

/// What all engines make of one prompt.
std::vector<ItemResult> ask(std::span<Engine* const> engines, const Tokenizer& tokenizer,
                            const NeedlePrompt& prompt, bool decode_question, Stepping stepping) {
    ContinueOptions options{.stepping = stepping, .max_new_tokens = kNeedleAnswerTokens};
    std::vector<int32_t> text = prompt.text;
    if (decode_question) {
        options.decoded_prompt = prompt.question;
    } else {
        text.insert(text.end(), prompt.question.begin(), prompt.question.end());
    }
    options.is_complete = [&](std::span<const int32_t> ids) {
        return number_is_over(tokenizer.decode(ids, true));
    };
    const Continuations written = continue_side_by_side(engines, tokenizer, text, options);
    std::vector<ItemResult> results;
    for (size_t i = 0; i < engines.size(); ++i) {
        std::string answer = tokenizer.decode(written.ids[i], true);
        const double score = answers(answer, prompt.answer) ? 1 : 0;
        results.push_back(
            {.scores = {{kScore, score}}, .answer = std::move(answer), .cache = written.usage[i]});
    }
    return results;
}

}  // namespace

std::vector<int32_t> tokenize_haystack(const Tokenizer& tokenizer,
                                       std::span<const std::string> texts) {
    std::vector<int32_t> tokens;
    for (const std::string& text : texts) {
        const std::vector<int32_t> ids = tokenizer.encode(text + "\n", false);
        tokens.insert(tokens.end(), ids.begin(), ids.end());
    }
    return tokens;
}

NeedlePrompt make_needle_prompt(const Tokenizer& tokenizer, std::span<const int32_t> haystack,
                                int64_t length, double depth, const NeedleOptions& options,
                                uint64_t seed) {
    std::mt19937_64 rng(seed);
    const std::vector<Needle> needles = make_needles(options.kind, options.needles, rng);
    NeedlePrompt prompt;
    prompt.answer = needles.front().number;
    prompt.question = tokenizer.encode(needles.front().question, false);
    prompt.text = tokenizer.encode("", true);  // a leading token, where the model has one

    std::vector<std::vector<int32_t>> sentences;
    auto taken = static_cast<int64_t>(prompt.text.size() + prompt.question.size());
    for (const Needle& needle : needles) {
        sentences.push_back(tokenizer.encode(needle.sentence, false));
        taken += std::ssize(sentences.back());
    }
    const int64_t hay = length - taken;
    if (hay < 1) {
        throw UsageError(
            fmt::format("needles and question take {} tokens, the prompt has {}", taken, length),
            "--lengths", "give a longer length, or fewer needles");
    }
    if (hay > std::ssize(haystack)) {
        throw UsageError(fmt::format("the haystack has {} tokens, a prompt of {} takes {}",
                                     haystack.size(), length, hay),
                         "--haystack", "give more text, or shorter lengths");
    }
    const auto start = std::uniform_int_distribution<int64_t>(0, std::ssize(haystack) - hay)(rng);
    const auto text = haystack.subspan(static_cast<size_t>(start), static_cast<size_t>(hay));
    // (place in the text, needle), in the order of places.
    std::vector<std::pair<int64_t, size_t>> places;
    for (size_t i = 0; i < needles.size(); ++i) {
        const double at = i == 0 ? depth : std::uniform_real_distribution<double>(0, 1)(rng);
        const auto wanted = static_cast<int64_t>(at * static_cast<double>(hay));
        places.emplace_back(place_for_sentence(tokenizer, text, std::min(wanted, hay)), i);
    }
    std::sort(places.begin(), places.end());
    int64_t done = 0;
    const auto add_text = [&](int64_t end) {
        prompt.text.insert(prompt.text.end(), text.begin() + done, text.begin() + end);
        done = end;
    };
    for (const auto& [place, needle] : places) {
        add_text(place);
        prompt.text.insert(prompt.text.end(), sentences[needle].begin(), sentences[needle].end());
    }
    add_text(hay);
    return prompt;
}

bool answers(const std::string& text, const std::string& answer) {
    const size_t begin = text.find_first_of("0123456789");
    if (begin == std::string::npos) return false;
    const size_t end = std::min(text.find_first_not_of("0123456789", begin), text.size());
    return text.substr(begin, end - begin) == answer;
}

std::vector<NeedleCell> needle_places(const NeedleOptions& options) {
    std::vector<NeedleCell> places;
    for (const int64_t length : options.lengths) {
        for (const double depth : options.depths) {
            for (int64_t trial = 0; trial < options.trials; ++trial)
                places.push_back({.length = length, .depth = depth});
        }
    }
    return places;
}

std::vector<EvalItem> needle_items(std::span<Engine* const> engines, const Tokenizer& tokenizer,
                                   std::span<const std::string> haystack,
                                   const NeedleOptions& options, Stepping stepping) {
    check(options);
    LOWKEY_CHECK(!engines.empty());
    const auto hay =
        std::make_shared<const std::vector<int32_t>>(tokenize_haystack(tokenizer, haystack));
    // What cannot be is refused now, not after an hour.
    for (const int64_t length : options.lengths) {
        static_cast<void>(make_needle_prompt(tokenizer, *hay, length, 0, options, options.seed));
        for (Engine* engine : engines)
            engine->check_request(*engine->new_sequence(), length, kNeedleAnswerTokens);
    }
    std::vector<EvalItem> items;
    uint64_t seed = options.seed * 1000003;
    for (const NeedleCell& place : needle_places(options)) {
        const auto run = [engines, &tokenizer, hay, place, options, stepping, seed] {
            return ask(
                engines, tokenizer,
                make_needle_prompt(tokenizer, *hay, place.length, place.depth, options, seed),
                options.decode_question, stepping);
        };
        ++seed;
        items.push_back({.scores = {kScore},
                         .run = run,
                         .label = fmt::format("needle in {}", place.length),
                         .cost = static_cast<double>(place.length)});
    }
    return items;
}

std::vector<NeedleResult> evaluate_needles(std::span<Engine* const> engines,
                                           const Tokenizer& tokenizer,
                                           std::span<const std::string> haystack,
                                           const NeedleOptions& options, const ItemOptions& how) {
    const auto items = needle_items(engines, tokenizer, haystack, options, Stepping::kAlone);
    const ItemResults all = run_items(items, std::ssize(engines), how);
    const std::vector<NeedleCell> places = needle_places(options);
    std::vector<NeedleResult> results;
    for (size_t e = 0; e < engines.size(); ++e) {
        const std::vector<ItemResult> own = results_of(all, e);
        NeedleResult& result = results.emplace_back();
        const auto trials = static_cast<size_t>(options.trials);
        for (size_t i = 0; i < own.size(); i += trials) {
            NeedleCell cell = places[i];
            cell.score = mean_score(std::span(own).subspan(i, trials), kScore);
            result.grid.push_back(cell);
        }
        result.mean = mean_score(own, kScore);
        result.cache = largest_cache(own);
    }
    return results;
}

NeedleResult evaluate_needle(Engine& engine, const Tokenizer& tokenizer,
                             std::span<const std::string> haystack, const NeedleOptions& options,
                             const ItemOptions& how) {
    Engine* const engines[] = {&engine};
    return evaluate_needles(engines, tokenizer, haystack, options, how).front();
}

}  // namespace lowkey
