#include "eval/journal.h"

#include <limits>
#include <string_view>

#include "base/error.h"
#include "base/mapped_file.h"
#include "io/json_reader.h"

namespace lowkey {
namespace {

using nlohmann::json;

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr char kRemedy[] = "name another file for --resume";
// Settings: hashes of plan files (one, or a list), and for messages the files' names.
constexpr char kPlan[] = "plan";
constexpr char kPlanFiles[] = "plan_files";

/// One line of the file. An answer may end inside a character.
std::string to_line(const json& document) {
    return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

json to_json(int64_t item, const ItemResult& result) {
    json line = {{"item", item},
                 {"scores", result.scores},
                 {"cache",
                  {{"bytes_allocated", result.cache.bytes_allocated},
                   {"bytes_full", result.cache.bytes_full},
                   {"tokens", result.cache.tokens},
                   {"peak_bytes", result.cache.peak_bytes},
                   {"pool_bytes", result.cache.pool_bytes}}}};
    if (!result.answer.empty()) line["answer"] = result.answer;
    return line;
}

ItemResult read_item(const JsonReader& line) {
    ItemResult result;
    for (const auto& [name, score] : line.at("scores").members()) {
        result.scores[name] = score.number();
    }
    result.answer = line.string_or("answer", "");
    const JsonReader cache = line.at("cache");
    result.cache = {.bytes_allocated = cache.at("bytes_allocated").integer(0, kMost),
                    .bytes_full = cache.at("bytes_full").integer(0, kMost),
                    .tokens = cache.at("tokens").integer(0, kMost),
                    .peak_bytes = cache.at("peak_bytes").integer(0, kMost),
                    .pool_bytes = cache.at("pool_bytes").integer(0, kMost)};
    return result;
}

/// All that results depend on: not how the files of plans are called.
json without_names(json settings) {
    settings.erase(kPlanFiles);
    return settings;
}

/// `"eigen.plan" (1f3870be)`, one after another; a hash alone where the name is not known.
std::string shown_plans(const json& settings) {
    json hashes = settings.value(kPlan, json());
    if (hashes.is_null()) return hashes.dump();
    if (!hashes.is_array()) hashes = json::array({hashes});
    const json files = settings.value(kPlanFiles, json());
    std::string out;
    for (size_t i = 0; i < hashes.size(); ++i) {
        out += i == 0 ? "" : " and ";
        const bool named = files.is_array() && i < files.size();
        out += named ? files[i].dump() + " (" + hashes[i].dump() + ")" : hashes[i].dump();
    }
    return out;
}

/// "limit is 100 there, now 200": what differs.
std::string differences(const json& there, const json& now) {
    std::string out;
    json all = without_names(there);
    all.update(without_names(now));
    for (const auto& [key, unused] : all.items()) {
        if (there.value(key, json()) == now.value(key, json())) continue;
        const auto shown = [&key = key](const json& settings) {
            return key == kPlan ? shown_plans(settings) : settings.value(key, json()).dump();
        };
        out.append(out.empty() ? "" : ", ").append(key).append(" is ").append(shown(there));
        out.append(" there, now ").append(shown(now));
    }
    return out;
}

}  // namespace

Journal::Journal(const std::string& path, const json& settings) : path_(path), file_(path) {
    if (!file_.lock()) throw UsageError("another evaluation is writing this file", path, kRemedy);
    read(json::parse(to_line(settings)));  // as the file says it, where it is not UTF-8
}

void Journal::read(const json& settings) {
    const std::string first = to_line(settings);
    int64_t kept = 0;
    {
        const MappedFile file(path_);
        const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                                    file.bytes().size());
        // Behind the last line's end is what a killed process was writing.
        const size_t last = text.rfind('\n');
        kept = last == std::string_view::npos ? 0 : static_cast<int64_t>(last) + 1;
        if (kept == 0 && !std::string_view(first).starts_with(text)) {
            throw FileError("not the journal of an evaluation", path_, kRemedy);
        }
        int64_t number = 0;
        for (int64_t at = 0; at < kept;) {
            const size_t end = text.find('\n', static_cast<size_t>(at));
            const std::string where = path_ + ":" + std::to_string(++number);
            const std::string_view line =
                text.substr(static_cast<size_t>(at), end - static_cast<size_t>(at));
            at = static_cast<int64_t>(end) + 1;
            const json document = parse_json(line, where);
            const JsonReader reader(document, where);
            if (number > 1) {
                finished_[reader.at("item").integer(0, kMost)] = read_item(reader);
            } else if (!reader.has("evaluation")) {
                throw FileError("not the journal of an evaluation", path_, kRemedy);
            } else if (without_names(document) != without_names(settings)) {
                throw UsageError(
                    "the evaluation to resume has other settings", path_,
                    differences(document, settings) + "; give the same ones, or " + kRemedy);
            }
        }
    }
    file_.cut(kept);
    if (kept == 0) file_.add(first);
}

void Journal::add(int64_t item, const ItemResult& result) {
    file_.add(to_line(to_json(item, result)));
    finished_[item] = result;
}

}  // namespace lowkey
