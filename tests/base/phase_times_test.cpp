#include "base/phase_times.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace lowkey {
namespace {

using std::chrono::milliseconds;

void spend(int ms) { std::this_thread::sleep_for(milliseconds(ms)); }

TEST(PhaseTimes, AddUpToTheWhole) {
    const auto start = std::chrono::steady_clock::now();
    PhaseRecorder recorder;
    spend(2);
    {
        const PhaseTimer timer(Phase::kLinear);
        spend(4);
    }
    {
        const PhaseTimer timer(Phase::kAttention);
        spend(2);
    }
    const PhaseTimes times = recorder.times();
    const double all =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EXPECT_GE(times.of(Phase::kLinear), 0.004);
    EXPECT_GE(times.of(Phase::kAttention), 0.002);
    EXPECT_GE(times.of(Phase::kOther), 0.002);
    EXPECT_EQ(times.of(Phase::kEncode), 0);
    EXPECT_LE(times.total(), all);
    EXPECT_GE(times.total(), 0.008);
}

TEST(PhaseTimes, AnInnerPhaseIsNotPartOfTheOuterOne) {
    PhaseRecorder recorder;
    {
        const PhaseTimer outer(Phase::kLinear);
        const PhaseTimer inner(Phase::kEncode);
        spend(3);
    }
    const PhaseTimes times = recorder.times();
    EXPECT_GE(times.of(Phase::kEncode), 0.003);
    EXPECT_LT(times.of(Phase::kLinear), times.of(Phase::kEncode));
}

TEST(PhaseTimes, OnlyTheRecordersThreadCounts) {
    { const PhaseTimer nobody_records(Phase::kLinear); }
    PhaseRecorder recorder;
    std::thread([] {
        const PhaseTimer timer(Phase::kLinear);
        spend(2);
    }).join();
    EXPECT_EQ(recorder.times().of(Phase::kLinear), 0);
}

TEST(PhaseTimes, Names) {
    EXPECT_EQ(phase_name(Phase::kLinear), "linear");
    EXPECT_EQ(phase_name(Phase::kOther), "other");
}

}  // namespace
}  // namespace lowkey
