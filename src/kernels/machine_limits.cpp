#include "kernels/machine_limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <new>

#include "base/cpu.h"
#include "base/parallel.h"

namespace lowkey {

namespace limits {
namespace portable {
extern const LimitLoops kLoops;
}
#ifdef __x86_64__
namespace avx2 {
extern const LimitLoops kLoops;
}
namespace avx512 {
extern const LimitLoops kLoops;
}
namespace avx512_bf16 {
extern const LimitLoops kLoops;
}
namespace amx_bf16 {
extern const LimitLoops kLoops;
}
#endif
}  // namespace limits

namespace {

constexpr int64_t kReadBlock = 1 << 20;

// Parts of a measurement that each thread has at least: what one has not begun, others take over.
constexpr int64_t kPartsPerThread = 8;

template <typename Fn>
double seconds_of(Fn&& fn) {
    const auto start = std::chrono::steady_clock::now();
    fn();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Memory in large pages where the system has them: page tables are no limit of the memory.
class Buffer {
public:
    explicit Buffer(int64_t bytes)
        : bytes_(static_cast<size_t>(bytes)),
          data_(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
        if (data_ == MAP_FAILED) throw std::bad_alloc();
        madvise(data_, bytes_, MADV_HUGEPAGE);
    }
    ~Buffer() { munmap(data_, bytes_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(data_); }

private:
    size_t bytes_;
    void* data_;
};

double measure_read(const LimitLoops& loops, const LimitOptions& options) {
    const int64_t num_blocks = std::max<int64_t>(1, options.read_bytes / kReadBlock);
    const Buffer buffer(num_blocks * kReadBlock);
    const auto block = [&](int64_t i) { return buffer.data() + i * kReadBlock; };
    // Pages must be written, or all of them are one page of zeros.
    parallel_for(num_blocks, [&](int64_t i) { std::fill_n(block(i), kReadBlock, std::byte{1}); });
    std::atomic<uint64_t> seen = 0;
    double best = 0;
    for (int i = 0; i < options.repeats; ++i) {
        const double seconds = seconds_of([&] {
            parallel_for(num_blocks, [&](int64_t b) { seen |= loops.read(block(b), kReadBlock); });
        });
        best = std::max(best, static_cast<double>(num_blocks * kReadBlock) / seconds);
    }
    return best;
}

using Dot = float (*)(int64_t rounds) noexcept;

double measure_dot(Dot dot, int64_t flops_per_round, const LimitOptions& options) {
    std::atomic<float> sink = 0;
    const int64_t num_parts = kPartsPerThread * num_threads();
    const auto run = [&](int64_t rounds) {
        return seconds_of(
            [&] { parallel_for_balanced(num_parts, [&](int64_t, int) { sink = dot(rounds); }); });
    };
    int64_t rounds = 100;
    while (run(rounds) < options.dot_seconds) rounds *= 2;
    double best = 0;
    for (int i = 0; i < options.repeats; ++i) {
        const auto flops = static_cast<double>(rounds * flops_per_round * num_parts);
        best = std::max(best, flops / run(rounds));
    }
    return best;
}

}  // namespace

std::vector<const LimitLoops*> runnable_limit_loops() {
    std::vector<const LimitLoops*> loops = {&limits::portable::kLoops};
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0)
        loops.push_back(&limits::avx2::kLoops);
    if (__builtin_cpu_supports("avx512f") != 0) loops.push_back(&limits::avx512::kLoops);
    if (has_avx512_bf16()) loops.push_back(&limits::avx512_bf16::kLoops);
    if (request_amx_bf16()) loops.push_back(&limits::amx_bf16::kLoops);
#endif
    return loops;
}

MachineLimits measure_machine_limits(const LimitOptions& options) {
    const LimitLoops* reader = nullptr;
    const LimitLoops* f32 = nullptr;
    const LimitLoops* bf16 = nullptr;
    for (const LimitLoops* loops : runnable_limit_loops()) {
        if (loops->read != nullptr) reader = loops;
        if (loops->f32_dot != nullptr) f32 = loops;
        if (loops->bf16_dot != nullptr) bf16 = loops;
    }
    MachineLimits limits;
    limits.read_bytes_per_second = measure_read(*reader, options);
    limits.f32_flops = measure_dot(f32->f32_dot, f32->f32_dot_flops, options);
    if (bf16 != nullptr)
        limits.bf16_flops = measure_dot(bf16->bf16_dot, bf16->bf16_dot_flops, options);
    // bf16 numbers are f32 numbers at least.
    limits.bf16_flops = std::max(limits.bf16_flops, limits.f32_flops);
    return limits;
}

}  // namespace lowkey
