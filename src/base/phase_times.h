#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <string_view>

namespace lowkey {

/// What a forward pass spends its time on.
enum class Phase {
    kLinear,     ///< products with weights, and activations between them
    kAttention,  ///< queries against the cache
    kEncode,     ///< the cache's growth: writing, selecting, forgetting
    kSampling,   ///< choosing the next token
    kOther,      ///< all else: norms, rotation, embeddings
};
inline constexpr size_t kNumPhases = 5;
/// "linear", "attention", "encode", "sampling", "other"
std::string_view phase_name(Phase phase);

/// Seconds by phase.
struct PhaseTimes {
    std::array<double, kNumPhases> seconds{};

    [[nodiscard]] double of(Phase phase) const { return seconds[static_cast<size_t>(phase)]; }
    [[nodiscard]] double total() const;
};

/// Splits the time of its thread, from its making on, into phases: it is always in exactly one, so
/// that they add up to the whole. The one of a thread that was made last counts.
class PhaseRecorder {
public:
    PhaseRecorder();
    ~PhaseRecorder();
    PhaseRecorder(const PhaseRecorder&) = delete;
    PhaseRecorder& operator=(const PhaseRecorder&) = delete;

    /// Up to now.
    [[nodiscard]] PhaseTimes times();

private:
    friend class PhaseTimer;
    using Clock = std::chrono::steady_clock;
    /// Enters a phase; returns the one that was left.
    Phase enter(Phase phase);

    PhaseTimes times_;
    Phase phase_ = Phase::kOther;
    Clock::time_point since_ = Clock::now();
    PhaseRecorder* outer_;
};

/// Puts the time of its scope into a phase, except what timers inside it take. Costs nothing but a
/// test where no PhaseRecorder lives on this thread.
class PhaseTimer {
public:
    explicit PhaseTimer(Phase phase);
    ~PhaseTimer();
    PhaseTimer(const PhaseTimer&) = delete;
    PhaseTimer& operator=(const PhaseTimer&) = delete;

private:
    PhaseRecorder* recorder_;
    Phase outer_ = Phase::kOther;
};

}  // namespace lowkey
