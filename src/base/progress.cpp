#include "base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "base/size.h"

namespace lowkey {
namespace {

bool& enabled_flag() {
    static bool enabled = true;
    return enabled;
}

bool on_terminal() {
    static const bool terminal = isatty(STDERR_FILENO) == 1;
    return terminal;
}

constexpr auto kTerminalInterval = std::chrono::milliseconds(100);
constexpr auto kLogInterval = std::chrono::seconds(10);
constexpr int kBarWidth = 24;

}  // namespace

Progress::Progress(std::string label, int64_t total, int64_t already_done)
    : label_(std::move(label)),
      total_(total),
      already_done_(already_done),
      done_(already_done),
      start_(Clock::now()),
      last_drawn_(start_) {}

Progress::~Progress() {
    if (!drawn_) return;
    if (on_terminal()) {
        std::fprintf(stderr, "\r\033[K");
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    std::fprintf(stderr, "%s  %lld/%lld in %s\n", label_.c_str(), static_cast<long long>(done_),
                 static_cast<long long>(total_), format_seconds(seconds).c_str());
}

void Progress::update(int64_t done, const std::string& note) {
    done_ = done;
    if (!enabled_flag() || total_ <= 0) return;
    const auto now = Clock::now();
    const bool terminal = on_terminal();
    if (now - last_drawn_ <
        (terminal ? Clock::duration(kTerminalInterval) : Clock::duration(kLogInterval)))
        return;
    last_drawn_ = now;
    drawn_ = true;
    const double share = static_cast<double>(done) / static_cast<double>(total_);
    const double elapsed = std::chrono::duration<double>(now - start_).count();
    const auto now_done = static_cast<double>(done - already_done_);
    const std::string left =
        now_done > 0
            ? format_seconds(elapsed * static_cast<double>(total_ - done) / now_done) + " left"
            : "";
    if (terminal) {
        const int filled = static_cast<int>(share * kBarWidth);
        const std::string bar = std::string(static_cast<size_t>(filled), '#') +
                                std::string(static_cast<size_t>(kBarWidth - filled), '.');
        std::fprintf(stderr, "\r\033[K%s  [%s] %3.0f %%  %s  %s", label_.c_str(), bar.c_str(),
                     share * 100, left.c_str(), note.c_str());
    } else {
        std::fprintf(stderr, "%s  %lld/%lld  %.0f %%  %s  %s\n", label_.c_str(),
                     static_cast<long long>(done), static_cast<long long>(total_), share * 100,
                     left.c_str(), note.c_str());
    }
    std::fflush(stderr);
}

void Progress::say(const std::string& text) {
    if (!enabled_flag()) return;
    std::fprintf(stderr, "%s%s\n", on_terminal() ? "\r\033[K" : "", text.c_str());
}

void Progress::set_enabled(bool enabled) { enabled_flag() = enabled; }

}  // namespace lowkey
