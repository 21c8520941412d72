#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "compress/calibration.h"

namespace lowkey {

/// Calibration that is not finished, on disk, so that it can be stopped and go on: the sequences so
/// far, and the sums over those that were run. Sums are added in the same order as without a stop:
/// the result is the same to the last bit.
class CalibrationPart {
public:
    /// Reads the file where it is there; one with another `key` is begun anew. `key` is a hash of
    /// all that the result depends on. Throws FileError when the file is something else.
    CalibrationPart(std::string path, std::string key, const Model& model);

    [[nodiscard]] const std::string& path() const { return path_; }
    /// Sequences of the stopped run, and over how many of them there are sums.
    [[nodiscard]] const std::vector<std::vector<int32_t>>& ids() const { return found_.ids; }
    [[nodiscard]] int64_t done() const { return done_; }
    /// Moves the sums into `stats`.
    void take_sums(CalibrationStats& stats);

    /// Writes the sequences and the sums over the first `done`; without sums when 0 are. Throws
    /// FileError.
    void save(const CalibrationStats& stats, int64_t done);
    /// save() where much time has passed since the last one.
    void save_now_and_then(const CalibrationStats& stats, int64_t done);
    /// Removes the file: what it held is in the statistics now.
    void remove() const;

private:
    using Clock = std::chrono::steady_clock;

    std::string path_;
    std::string key_;
    CalibrationStats found_;
    int64_t done_ = 0;
    Clock::time_point saved_ = Clock::now();
    Clock::duration writing_{};  ///< that the last save took
};

}  // namespace lowkey
