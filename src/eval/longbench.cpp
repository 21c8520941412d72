#include "eval/longbench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "engine/generation.h"
#include "eval/text_metrics.h"
#include "io/json_lines.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

struct Metric {
    std::string_view name;
    double (*score)(std::string_view text, std::string_view answer,
                    std::span<const std::string> classes);
};

using Classes = std::span<const std::string>;

constexpr std::array<Metric, 9> kMetrics = {{
    {"qa_f1", [](std::string_view t, std::string_view a, Classes) { return qa_f1(t, a); }},
    {"qa_f1_zh", [](std::string_view t, std::string_view a, Classes) { return qa_f1_zh(t, a); }},
    {"rouge_l", [](std::string_view t, std::string_view a, Classes) { return rouge_l(t, a); }},
    {"rouge_l_zh",
     [](std::string_view t, std::string_view a, Classes) { return rouge_l_zh(t, a); }},
    {"classification", classification_score},
    {"count", [](std::string_view t, std::string_view a, Classes) { return count_score(t, a); }},
    {"retrieval", [](std::string_view t, std::string_view a,
                     Classes) { return retrieval_score(t, a, "Paragraph "); }},
    {"retrieval_zh",
     [](std::string_view t, std::string_view a, Classes) { return retrieval_score(t, a, "段落"); }},
    {"code", [](std::string_view t, std::string_view a, Classes) { return code_similarity(t, a); }},
}};

const LongBenchSet& find_set(const JsonReader& name) {
    std::string wanted = name.string();
    if (wanted.ends_with("_e")) wanted.resize(wanted.size() - 2);  // LongBench-E
    for (const LongBenchSet& set : longbench_sets()) {
        if (wanted == set.name) return set;
    }
    throw UnsupportedError("unknown LongBench set '" + wanted + "'", name.file(),
                           "give a set of LongBench or LongBench-E");
}

/// The template with the record's texts in place; what these hold stays as it is.
std::string fill(std::string_view prompt, std::string_view context, std::string_view input) {
    const std::array<std::pair<std::string_view, std::string_view>, 2> places = {
        {{"{context}", context}, {"{input}", input}}};
    std::string out;
    while (!prompt.empty()) {
        const auto place = std::find_if(places.begin(), places.end(),
                                        [&](const auto& p) { return prompt.starts_with(p.first); });
        if (place == places.end()) {
            out += prompt.front();
            prompt.remove_prefix(1);
        } else {
            out += place->second;
            prompt.remove_prefix(place->first.size());
        }
    }
    return out;
}

std::vector<std::string> read_strings(const JsonReader& array) {
    std::vector<std::string> out;
    for (const JsonReader& item : array.items()) out.push_back(item.string());
    return out;
}

/// The line that counts of an answer whose first line alone does.
std::string_view first_line(std::string_view answer) {
    answer.remove_prefix(std::min(answer.find_first_not_of('\n'), answer.size()));
    return answer.substr(0, answer.find('\n'));
}

/// At most `most` tokens: of a longer prompt its first and last half.
std::vector<int32_t> cut_middle(std::vector<int32_t> tokens, int64_t most) {
    if (std::ssize(tokens) <= most) return tokens;
    const int64_t half = most / 2;
    tokens.erase(tokens.begin() + half, tokens.end() - (most - half));
    return tokens;
}

/// What an engine writes after a prompt, and what that is worth.
ItemResult answer_question(Engine& engine, const Tokenizer& tokenizer, const LongBenchSet& set,
                           const LongBenchItem& item, std::span<const int32_t> prompt,
                           const std::vector<int32_t>& eos_ids) {
    std::string text;
    GenerationOptions generation{.max_new_tokens = set.max_new_tokens, .eos_ids = eos_ids};
    if (set.first_line) {
        generation.on_text = [&](std::string_view piece) { text += piece; };
        // What follows the line does not count.
        generation.should_stop = [&] {
            const size_t begin = text.find_first_not_of('\n');
            return begin != std::string::npos && text.find('\n', begin) != std::string::npos;
        };
    }
    const auto sequence = engine.new_sequence();
    Generation result = generate(engine, *sequence, &tokenizer, prompt, generation);
    return {.scores = {{kScore, score_longbench(set, item, result.text)}},
            .answer = std::move(result.text),
            .cache = result.cache};
}

}  // namespace

LongBenchData read_longbench(const std::string& path, int64_t limit) {
    LongBenchData data;
    read_json_lines(path, [&](const JsonReader& record) {
        const LongBenchSet& set = find_set(record.at("dataset"));
        if (data.set != nullptr && data.set != &set) {
            record.at("dataset").fail(
                fmt::format("'{}' in a file of '{}'", set.name, data.set->name),
                "give one set at a time");
        }
        data.set = &set;
        LongBenchItem item;
        item.prompt = fill(set.prompt, record.at("context").string(), record.at("input").string());
        item.answers = read_strings(record.at("answers"));
        if (item.answers.empty()) record.at("answers").fail("no answer");
        if (record.has("all_classes")) item.classes = read_strings(record.at("all_classes"));
        data.items.push_back(std::move(item));
        return limit == 0 || std::ssize(data.items) < limit;
    });
    if (data.items.empty()) throw FileError("no records", path, "give a .jsonl file of LongBench");
    return data;
}

std::string fingerprint(const LongBenchData& data) {
    Hasher hasher;
    // Lengths keep texts apart.
    const auto add = [&](const std::string& text) {
        hasher.add(std::to_string(text.size()) + ":");
        hasher.add(text);
    };
    for (const LongBenchItem& item : data.items) {
        add(item.prompt);
        for (const std::string& answer : item.answers) add(answer);
        for (const std::string& name : item.classes) add(name);
    }
    return hasher.hex();
}

double score_longbench(const LongBenchSet& set, const LongBenchItem& item,
                       std::string_view answer) {
    const auto* metric = std::find_if(kMetrics.begin(), kMetrics.end(),
                                      [&](const Metric& m) { return m.name == set.metric; });
    LOWKEY_CHECK(metric != kMetrics.end());
    if (set.first_line) answer = first_line(answer);
    double best = 0;
    for (const std::string& right : item.answers)
        best = std::max(best, metric->score(answer, right, item.classes));
    return best;
}

std::vector<LongBenchResult> evaluate_longbench(std::span<Engine* const> engines,
                                                const Tokenizer& tokenizer,
                                                const LongBenchData& data,
                                                const LongBenchOptions& options,
                                                const ItemOptions& how) {
    const LongBenchSet& set = *data.set;
    const int64_t context = engines.front()->model().max_context();
    const int64_t room = context - set.max_new_tokens;
    const int64_t max_length = options.max_length > 0 ? options.max_length : room;
    if (max_length < 2 || max_length > room) {
        throw UsageError(fmt::format("prompts of {} tokens and answers of {} do not fit the "
                                     "context of {}",
                                     max_length, set.max_new_tokens, context),
                         "--max-length", "give a smaller one, or raise --max-context");
    }
    std::vector<EvalItem> items;
    for (const LongBenchItem& item : data.items) {
        const auto run = [&, max_length] {
            const std::vector<int32_t> prompt =
                cut_middle(tokenizer.encode(item.prompt, true), max_length);
            std::vector<ItemResult> results;
            for (Engine* engine : engines) {
                results.push_back(
                    answer_question(*engine, tokenizer, set, item, prompt, options.eos_ids));
            }
            return results;
        };
        items.push_back({.scores = {kScore}, .run = run, .label = set.name});
    }
    const ItemResults all = run_items(items, std::ssize(engines), how);
    std::vector<LongBenchResult> out;
    for (size_t e = 0; e < engines.size(); ++e) {
        const std::vector<ItemResult> own = results_of(all, e);
        out.push_back(
            {.score = mean_score(own, kScore), .n = std::ssize(own), .cache = largest_cache(own)});
    }
    return out;
}

LongBenchResult evaluate_longbench(Engine& engine, const Tokenizer& tokenizer,
                                   const LongBenchData& data, const LongBenchOptions& options,
                                   const ItemOptions& how) {
    Engine* const engines[] = {&engine};
    return evaluate_longbench(engines, tokenizer, data, options, how).front();
}

}  // namespace lowkey
