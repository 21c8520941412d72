#include "kernels/machine_limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
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

/// Seconds that fn(thread) takes on all threads at once.
double seconds_of(const std::function<void(int thread)>& fn) {
    const auto start = std::chrono::steady_clock::now();
    fork_join(num_threads(), fn);
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

/// Calls fn(data, bytes) for all blocks of this thread's part of the buffer.
template <typename Fn>
void for_blocks(const Buffer& buffer, int64_t num_blocks, int thread, Fn fn) {
    const int64_t begin = num_blocks * thread / num_threads();
    const int64_t end = num_blocks * (thread + 1) / num_threads();
    for (int64_t block = begin; block < end; ++block) fn(buffer.data() + block * kReadBlock);
}

double measure_read(const LimitLoops& loops, const LimitOptions& options) {
    const int64_t num_blocks = std::max<int64_t>(1, options.read_bytes / kReadBlock);
    const Buffer buffer(num_blocks * kReadBlock);
    // Pages must be written, or all of them are one page of zeros.
    seconds_of([&](int thread) {
        for_blocks(buffer, num_blocks, thread,
                   [](std::byte* block) { std::fill_n(block, kReadBlock, std::byte{1}); });
    });
    std::atomic<uint64_t> seen = 0;
    double best = 0;
    for (int i = 0; i < options.repeats; ++i) {
        const double seconds = seconds_of([&](int thread) {
            for_blocks(buffer, num_blocks, thread,
                       [&](const std::byte* block) { seen |= loops.read(block, kReadBlock); });
        });
        best = std::max(best, static_cast<double>(num_blocks * kReadBlock) / seconds);
    }
    return best;
}

using Dot = float (*)(int64_t rounds) noexcept;

double measure_dot(Dot dot, int64_t flops_per_round, const LimitOptions& options) {
    std::atomic<float> sink = 0;
    const auto run = [&](int64_t rounds) { return seconds_of([&](int) { sink = dot(rounds); }); };
    int64_t rounds = 1000;
    while (run(rounds) < options.dot_seconds) rounds *= 2;
    double best = 0;
    for (int i = 0; i < options.repeats; ++i) {
        const auto flops = static_cast<double>(rounds * flops_per_round * num_threads());
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
