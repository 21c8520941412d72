#include "compress/measurement_journal.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"
#include "io/json_reader.h"

namespace lowkey {
namespace {

constexpr char kBegin[] = "{\"journal\":";

}  // namespace

MeasurementJournal::MeasurementJournal(std::string path, const nlohmann::json& settings)
    : path_(std::move(path)), file_(path_) {
    if (!file_->lock()) {
        throw FileError("another lowkey is writing this file", path_,
                        "wait for it, or name another output");
    }
    const nlohmann::json first = {{"journal", "lowkey plan"}, {"settings", settings}};
    read(first.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void MeasurementJournal::read(const std::string& settings) {
    int64_t kept = 0;
    {
        const MappedFile file(path_);
        const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                                    file.bytes().size());
        const std::string_view begin = std::string_view(kBegin).substr(0, text.size());
        if (!text.starts_with(begin)) {
            throw FileError("not the journal of a planner", path_,
                            "move the file away, or name another output");
        }
        if (text.starts_with(settings + "\n")) {
            size_t at = settings.size() + 1;
            for (size_t end = 0; (end = text.find('\n', at)) != std::string_view::npos;) {
                const nlohmann::json line = parse_json(text.substr(at, end - at), path_);
                const JsonReader reader(line, path_);
                numbers_[reader.at("name").string()] = reader.at("value").number();
                at = end + 1;
            }
            kept = static_cast<int64_t>(at);
            found_ = std::ssize(numbers_);
        }
    }
    file_->cut(kept);
    if (kept == 0) file_->add(settings);
}

void MeasurementJournal::add(const std::string& name, double number) {
    if (!std::isfinite(number)) {
        throw Error("not finite: " + name, "",
                    "the checkpoint or the statistics are broken: get or make them again");
    }
    numbers_[name] = number;
    if (file_) file_->add(nlohmann::json({{"name", name}, {"value", number}}).dump());
}

void MeasurementJournal::remove(const std::string& path) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(path, ignored)) return;
    std::string begin(sizeof(kBegin) - 1, '\0');
    std::ifstream in(path, std::ios::binary);
    if (in.read(begin.data(), std::ssize(begin)) && begin == kBegin) unlink(path.c_str());
}

}  // namespace lowkey
