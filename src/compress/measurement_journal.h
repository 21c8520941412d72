#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/line_file.h"

namespace lowkey {

/// What a planner measured so far, on disk, so that it can be stopped and go on: a file of JSON
/// lines, the settings and then a number each, written as soon as it is known. A killed process
/// leaves at most the line that it was writing, which is measured again.
class MeasurementJournal {
public:
    /// Keeps nothing.
    MeasurementJournal() = default;
    /// Opens the file or begins it, anew where it was begun with other settings. `settings` is all
    /// that the numbers depend on. Throws FileError when the file is something else, or cannot be
    /// written.
    MeasurementJournal(std::string path, const nlohmann::json& settings);

    [[nodiscard]] bool has(const std::string& name) const { return numbers_.count(name) > 0; }
    /// How many numbers were there when it was opened.
    [[nodiscard]] int64_t found() const { return found_; }
    /// The number of this name, which `measure` gives where it is not known. Throws Error when it
    /// is not finite, and what `measure` throws.
    template <typename Measure>
    double value(const std::string& name, Measure&& measure) {
        const auto found = numbers_.find(name);
        if (found != numbers_.end()) return found->second;
        const double number = measure();
        add(name, number);
        return number;
    }
    /// Removes a journal: its numbers are in the plan now. Leaves alone what is no journal.
    static void remove(const std::string& path);

private:
    void read(const std::string& settings);
    void add(const std::string& name, double number);

    std::string path_;
    std::optional<LineFile> file_;
    int64_t found_ = 0;
    std::map<std::string, double> numbers_;
};

}  // namespace lowkey
