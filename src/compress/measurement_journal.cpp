#include "compress/measurement_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
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

[[noreturn]] void fail(const std::string& path) {
    throw FileError("cannot write file", path + " (" + std::strerror(errno) + ")",
                    "check that the folder can be written and has room");
}

}  // namespace

MeasurementJournal::MeasurementJournal(std::string path, const nlohmann::json& settings)
    : path_(std::move(path)) {
    fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd_ < 0) fail(path_);
    try {
        if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
            throw FileError("another lowkey is writing this file", path_,
                            "wait for it, or name another output");
        }
        const nlohmann::json first = {{"journal", "lowkey plan"}, {"settings", settings}};
        read(first.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    } catch (...) {
        close(fd_);
        throw;
    }
}

MeasurementJournal::~MeasurementJournal() {
    if (fd_ >= 0) close(fd_);
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
        if (text.starts_with(settings)) {
            size_t at = settings.size();
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
    if (ftruncate(fd_, kept) != 0) fail(path_);
    if (kept == 0) write(settings);
}

void MeasurementJournal::add(const std::string& name, double number) {
    if (!std::isfinite(number)) {
        throw Error("not finite: " + name, "",
                    "the checkpoint or the statistics are broken: get or make them again");
    }
    numbers_[name] = number;
    if (fd_ >= 0) write(nlohmann::json({{"name", name}, {"value", number}}).dump() + "\n");
}

void MeasurementJournal::write(const std::string& text) const {
    std::string_view rest = text;
    while (!rest.empty()) {
        const ssize_t written = ::write(fd_, rest.data(), rest.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) fail(path_);
        rest.remove_prefix(static_cast<size_t>(written));
    }
}

void MeasurementJournal::remove(const std::string& path) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(path, ignored)) return;
    std::string begin(sizeof(kBegin) - 1, '\0');
    std::ifstream in(path, std::ios::binary);
    if (in.read(begin.data(), std::ssize(begin)) && begin == kBegin) unlink(path.c_str());
}

}  // namespace lowkey
