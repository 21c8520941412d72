#include "eval/zeroshot_tasks.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/unicode.h"
#include "io/json_lines.h"
#include "jinja/text.h"

namespace lowkey {
namespace {

constexpr int64_t kMostChoices = 64;

ZeroshotItem choose(const std::string& context, const std::vector<std::string>& answers,
                    int64_t gold) {
    ZeroshotItem item;
    item.gold = gold;
    for (const std::string& answer : answers)
        item.choices.push_back({context, " " + answer, num_characters(answer)});
    return item;
}

/// A number that the data may also write as text.
int64_t read_index(const JsonReader& value, int64_t low, int64_t high) {
    if (!value.is_string()) return value.integer(low, high);
    const std::string text = value.string();
    for (int64_t i = low; i <= high; ++i) {
        if (text == std::to_string(i)) return i;
    }
    value.fail("expected a number from " + std::to_string(low) + " to " + std::to_string(high) +
               ", got '" + text + "'");
}

/// The items of a list of answers, neither none nor absurdly many.
std::vector<JsonReader> read_choices(const JsonReader& array) {
    std::vector<JsonReader> items = array.items();
    if (items.empty() || std::ssize(items) > kMostChoices)
        array.fail(std::to_string(items.size()) + " answers, expected 1 to " +
                   std::to_string(kMostChoices));
    return items;
}

std::vector<std::string> read_choice_strings(const JsonReader& array) {
    std::vector<std::string> out;
    for (const JsonReader& item : read_choices(array)) out.push_back(item.string());
    return out;
}

ZeroshotItem read_piqa(const JsonReader& record, std::optional<int64_t> label) {
    const int64_t gold = label ? *label : read_index(record.at("label"), 0, 1);
    return choose("Question: " + record.at("goal").string() + "\nAnswer:",
                  {record.at("sol1").string(), record.at("sol2").string()}, gold);
}

ZeroshotItem read_lambada(const JsonReader& record, std::optional<int64_t> /*label*/) {
    const std::string text = record.at("text").string();
    const size_t space = text.rfind(' ');
    const bool one_word = space == std::string::npos;
    const std::string word = one_word ? text : text.substr(space + 1);
    return choose(one_word ? "" : text.substr(0, space), {word}, 0);
}

/// What an ARC record asks; labels are A, B, … or 1, 2, ….
struct ArcQuestion {
    std::string text;
    std::vector<std::string> labels;
    std::vector<std::string> answers;
};

/// Hugging Face serves lists of labels and texts beside the question; the files as they were
/// published have a list of pairs within it.
ArcQuestion read_arc_question(const JsonReader& record) {
    const JsonReader question = record.at("question");
    const bool within = !question.is_string();
    const JsonReader choices = within ? question.at("choices") : record.at("choices");
    ArcQuestion out;
    out.text = within ? question.at("stem").string() : question.string();
    if (within) {
        for (const JsonReader& choice : read_choices(choices)) {
            out.labels.push_back(choice.at("label").string());
            out.answers.push_back(choice.at("text").string());
        }
    } else {
        out.labels = read_choice_strings(choices.at("label"));
        out.answers = read_choice_strings(choices.at("text"));
    }
    if (out.labels.size() != out.answers.size())
        choices.fail(std::to_string(out.labels.size()) + " labels of " +
                     std::to_string(out.answers.size()) + " answers");
    return out;
}

ZeroshotItem read_arc(const JsonReader& record, std::optional<int64_t> /*label*/) {
    const ArcQuestion question = read_arc_question(record);
    const JsonReader key = record.at("answerKey");
    const auto gold = std::find(question.labels.begin(), question.labels.end(), key.string());
    if (gold == question.labels.end()) key.fail("'" + key.string() + "' is none of the labels");
    return choose("Question: " + question.text + "\nAnswer:", question.answers,
                  gold - question.labels.begin());
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
    std::string out;
    size_t begin = 0;
    for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, begin)) {
        out.append(text.substr(begin, at - begin)).append(to);
        begin = at + from.size();
    }
    return out.append(text.substr(begin));
}

/// Takes out what WikiHow's mark-up left behind.
std::string clean_hellaswag(const std::string& raw) {
    std::string text =
        replace_all(jinja::strip(raw, std::nullopt, jinja::Side::kBoth), " [title]", ". ");
    // As the pattern \[.*?\] finds them: from the first bracket to the next closing one, within a
    // line.
    size_t open = text.find('[');
    while (open != std::string::npos) {
        const size_t close = text.find_first_of("]\n", open);
        if (close == std::string::npos) break;
        const bool found = text[close] == ']';
        if (found) text.erase(open, close + 1 - open);
        open = text.find('[', found ? open : close);
    }
    return replace_all(text, "  ", " ");
}

ZeroshotItem read_hellaswag(const JsonReader& record, std::optional<int64_t> /*label*/) {
    std::vector<std::string> endings = read_choice_strings(record.at("endings"));
    for (std::string& ending : endings) ending = clean_hellaswag(ending);
    const std::string context = record.at("activity_label").string() + ": " +
                                record.at("ctx_a").string() + " " +
                                jinja::capitalize(record.at("ctx_b").string());
    return choose(clean_hellaswag(context), endings,
                  read_index(record.at("label"), 0, std::ssize(endings) - 1));
}

/// The two contexts differ and what follows them is the same: partial evaluation.
ZeroshotItem read_winogrande(const JsonReader& record, std::optional<int64_t> /*label*/) {
    const JsonReader reader = record.at("sentence");
    const std::string sentence = reader.string();
    const size_t gap = sentence.find('_');
    if (gap == std::string::npos) reader.fail("no '_' in the sentence");
    const std::string behind(
        jinja::strip(std::string_view(sentence).substr(gap + 1), std::nullopt, jinja::Side::kBoth));
    ZeroshotItem item;
    item.gold = read_index(record.at("answer"), 1, 2) - 1;
    for (const char* key : {"option1", "option2"}) {
        const std::string context = sentence.substr(0, gap) + record.at(key).string();
        item.choices.push_back({context, " " + behind, num_characters(context)});
    }
    return item;
}

/// The file that `path` names or holds.
std::string find_data(const std::string& path) {
    if (!std::filesystem::is_directory(path)) return path;
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
        if (entry.path().extension() == ".jsonl") files.push_back(entry.path().string());
    }
    if (files.empty()) throw FileError("no .jsonl file", path, "name the file");
    if (files.size() > 1) {
        throw UsageError(std::to_string(files.size()) + " .jsonl files", path, "name one of them");
    }
    return files.front();
}

/// Labels of NAME-labels.lst beside NAME.jsonl, one per line, if it is there.
class LabelsBeside {
public:
    explicit LabelsBeside(const std::string& data)
        : path_(std::filesystem::path(data).replace_extension().string() + "-labels.lst") {
        if (!std::filesystem::exists(path_)) return;
        file_.emplace(path_);
        const auto bytes = file_->bytes();
        rest_ = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
    /// Of the next record; nothing without a file.
    std::optional<int64_t> next() {
        if (!file_) return std::nullopt;
        const std::string where = path_ + ":" + std::to_string(++line_);
        if (rest_.empty()) throw FileError("no label", where, "give one per record");
        const size_t end = std::min(rest_.find('\n'), rest_.size());
        std::string_view label = rest_.substr(0, end);
        rest_.remove_prefix(std::min(end + 1, rest_.size()));
        if (label.ends_with('\r')) label.remove_suffix(1);
        if (label != "0" && label != "1") {
            throw FileError("expected 0 or 1", where, "check the file, or get it again");
        }
        return label == "1" ? 1 : 0;
    }

private:
    std::string path_;
    std::optional<MappedFile> file_;
    std::string_view rest_;
    int64_t line_ = 0;
};

}  // namespace

const std::vector<ZeroshotTask>& zeroshot_tasks() {
    static const std::vector<ZeroshotTask> tasks = {
        {.name = "piqa",
         .about = "physical common sense, 2 choices",
         .read = read_piqa,
         .normalized = true,
         .labels_beside = true},
        {.name = "lambada", .about = "last word of a passage", .read = read_lambada, .cloze = true},
        {.name = "arc",
         .about = "school science, 3 to 5 choices (easy and challenge)",
         .read = read_arc,
         .normalized = true},
        {.name = "hellaswag",
         .about = "how a scene goes on, 4 choices",
         .read = read_hellaswag,
         .normalized = true},
        {.name = "winogrande",
         .about = "what a word refers to, 2 choices",
         .read = read_winogrande},
    };
    return tasks;
}

const ZeroshotTask& zeroshot_task(std::string_view name) {
    std::string names;
    for (const ZeroshotTask& task : zeroshot_tasks()) {
        if (name == task.name) return task;
        names.append(names.empty() ? "" : ", ").append(task.name);
    }
    throw UsageError("unknown task", std::string(name), "give one of " + names);
}

std::vector<ZeroshotItem> read_zeroshot_items(const ZeroshotTask& task, const std::string& path,
                                              int64_t limit) {
    const std::string file = find_data(path);
    std::optional<LabelsBeside> labels;
    if (task.labels_beside) labels.emplace(file);
    std::vector<ZeroshotItem> items;
    read_json_lines(file, [&](const JsonReader& record) {
        items.push_back(task.read(record, labels ? labels->next() : std::nullopt));
        return limit == 0 || std::ssize(items) < limit;
    });
    if (items.empty()) throw FileError("no records", file, "give a .jsonl file of the task's data");
    return items;
}

}  // namespace lowkey
