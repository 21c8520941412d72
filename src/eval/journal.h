#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/line_file.h"
#include "engine/engine.h"

namespace lowkey {

/// What one finished item of an evaluation (a question, a prompt) leaves behind.
struct ItemResult {
    std::map<std::string, double> scores;  ///< by name
    std::string answer = {};               ///< what the model wrote, where it does
    CacheUsage cache = {};
};

/// An evaluation's finished items on disk, so that it can be stopped and go on: a file of JSON
/// lines, the settings and then an item each, written as soon as it is finished. A killed process
/// leaves at most the line that it was writing, which the next one cuts off.
class Journal {
public:
    /// Opens the file or begins it. `settings` is an object of all that an item's result depends
    /// on, and "plan_files" the names of the plans whose hashes are its "plan". Throws UsageError
    /// when the file was begun with other settings, saying which, or is in use; FileError when it
    /// is no journal or cannot be written. Neither changes it.
    Journal(const std::string& path, const nlohmann::json& settings);

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const std::map<int64_t, ItemResult>& finished() const { return finished_; }
    /// Throws FileError (disk full, …).
    void add(int64_t item, const ItemResult& result);

private:
    void read(const nlohmann::json& settings);

    std::string path_;
    LineFile file_;
    std::map<int64_t, ItemResult> finished_;
};

}  // namespace lowkey
