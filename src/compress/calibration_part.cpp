#include "compress/calibration_part.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "io/json_reader.h"
#include "io/safetensors.h"

namespace lowkey {
namespace {

constexpr const char* kPartKey = "lowkey.stats.part";
constexpr auto kInterval = std::chrono::seconds(30);

}  // namespace

CalibrationPart::CalibrationPart(std::string path, std::string key, const Model& model)
    : path_(std::move(path)), key_(std::move(key)) {
    std::error_code ignored;
    if (!std::filesystem::exists(path_, ignored)) return;
    const SafetensorsFile file(path_);
    const auto text = file.metadata().find(kPartKey);
    if (text == file.metadata().end()) {
        throw FileError("not a calibration that was stopped", path_,
                        "move the file away, or name another output");
    }
    const nlohmann::json document = parse_json(text->second, path_);
    const JsonReader reader(document, path_);
    if (reader.at("key").string() != key_) return;
    read_stats_ids(file, model, found_);
    const auto count = static_cast<int64_t>(found_.ids.size());
    done_ = reader.at("done").integer(0, count);
    if (done_ > 0) read_stats_grams(file, model, found_);
}

void CalibrationPart::take_sums(CalibrationStats& stats) {
    stats.first = std::move(found_.first);
    stats.rest = std::move(found_.rest);
}

void CalibrationPart::save(const CalibrationStats& stats, int64_t done) {
    const auto begin = Clock::now();
    CalibrationStats no_sums;
    if (done == 0) {
        no_sums.ids = stats.ids;
        no_sums.length = stats.length;
    }
    const nlohmann::json document = {{"key", key_}, {"done", done}};
    write_stats_tensors(path_, done > 0 ? stats : no_sums, {{kPartKey, document.dump()}});
    saved_ = Clock::now();
    writing_ = saved_ - begin;
}

void CalibrationPart::save_now_and_then(const CalibrationStats& stats, int64_t done) {
    // Writing should not take a twentieth of the time.
    if (Clock::now() - saved_ > std::max<Clock::duration>(kInterval, 20 * writing_))
        save(stats, done);
}

void CalibrationPart::remove() const { std::remove(path_.c_str()); }

}  // namespace lowkey
