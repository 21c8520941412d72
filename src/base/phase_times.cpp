#include "base/phase_times.h"

#include <numeric>

namespace lowkey {
namespace {

struct Active {
    PhaseRecorder* recorder = nullptr;
};

/// The recorder of this thread, or null.
PhaseRecorder*& active_recorder() {
    thread_local Active active;
    return active.recorder;
}

}  // namespace

std::string_view phase_name(Phase phase) {
    constexpr std::array<std::string_view, kNumPhases> kNames = {"linear", "attention", "encode",
                                                                 "sampling", "other"};
    return kNames[static_cast<size_t>(phase)];
}

double PhaseTimes::total() const { return std::accumulate(seconds.begin(), seconds.end(), 0.0); }

PhaseRecorder::PhaseRecorder() : outer_(active_recorder()) { active_recorder() = this; }

PhaseRecorder::~PhaseRecorder() { active_recorder() = outer_; }

PhaseTimes PhaseRecorder::times() {
    enter(phase_);
    return times_;
}

Phase PhaseRecorder::enter(Phase phase) {
    const Clock::time_point now = Clock::now();
    times_.seconds[static_cast<size_t>(phase_)] +=
        std::chrono::duration<double>(now - since_).count();
    since_ = now;
    const Phase left = phase_;
    phase_ = phase;
    return left;
}

PhaseTimer::PhaseTimer(Phase phase) : recorder_(active_recorder()) {
    if (recorder_ != nullptr) outer_ = recorder_->enter(phase);
}

PhaseTimer::~PhaseTimer() {
    if (recorder_ != nullptr) recorder_->enter(outer_);
}

}  // namespace lowkey
