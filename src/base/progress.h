#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace lowkey {

/// A progress line on stderr: "calibrate  37/128  29 %  1m 12s left". Drawn in place on a terminal,
/// about every ten seconds as its own line elsewhere. Not thread-safe.
class Progress {
public:
    /// `already_done` of `total` were finished before, and say nothing about the time left.
    Progress(std::string label, int64_t total, int64_t already_done = 0);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// `done` of `total` are finished; `note` is shown behind them.
    void update(int64_t done, const std::string& note = {});
    /// A line of its own on stderr, where progress is shown.
    static void say(const std::string& text);
    /// Silences all progress lines of this process (--quiet).
    static void set_enabled(bool enabled);

private:
    using Clock = std::chrono::steady_clock;
    std::string label_;
    int64_t total_;
    int64_t already_done_;
    int64_t done_;
    Clock::time_point start_;
    Clock::time_point last_drawn_;
    bool drawn_ = false;
};

}  // namespace lowkey
