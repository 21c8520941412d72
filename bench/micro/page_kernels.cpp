#include <sys/mman.h>

#include <algorithm>
#include <memory>

#include "attention/soon_reads.h"
#include "bench/micro/benches.h"

namespace lowkey::bench {
namespace {

constexpr int64_t kPageBytes = 32 * 1024;
constexpr int64_t kPages = 8192;  // 256 MiB: more than caches hold
constexpr int64_t kHeads = 16;    // whose pages lie between each other

/// Pages full of small bf16 numbers, in huge pages of the system as the cache's are.
class Pages {
public:
    Pages()
        : bytes_(static_cast<size_t>(kPages * kPageBytes)),
          data_(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
        if (data_ == MAP_FAILED) std::abort();
        madvise(data_, bytes_, MADV_HUGEPAGE);
        auto* numbers = static_cast<uint16_t*>(data_);
        for (size_t i = 0; i < bytes_ / 2; ++i)
            numbers[i] = static_cast<uint16_t>(0x3c00 + i * 31 % 256 + (i % 3 == 0 ? 0x8000 : 0));
    }
    ~Pages() { munmap(data_, bytes_); }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    /// The pages of one head after those of another.
    [[nodiscard]] const std::byte* page(int64_t i) const {
        const int64_t per_head = kPages / kHeads;
        const int64_t at = i % per_head * kHeads + i / per_head % kHeads;
        return static_cast<const std::byte*>(data_) + at * kPageBytes;
    }

private:
    size_t bytes_;
    void* data_;
};

/// What decoding does with a page: scores, softmax, sums.
void attend_pages(benchmark::State& state, const KernelTable& table, int64_t rows, int64_t key_dim,
                  int64_t value_dim) {
    static const Pages pages;
    const int64_t key_bytes = key_dim * kTileTokens * 2;
    const int64_t tile_bytes = key_bytes + value_dim * kTileTokens * 2;
    const int64_t tiles = kPageBytes / tile_bytes;
    const int64_t tokens = tiles * kTileTokens;
    const auto size = [](int64_t n) { return static_cast<size_t>(n); };
    const std::vector<float> q = random_floats(rows * key_dim);
    std::vector<float> scores(size(rows * tokens));
    std::vector<float> tops(size(rows), 100.0f);
    std::vector<float> sums(size(rows));
    std::vector<float> acc(size(rows * value_dim));
    const auto view = [&](const std::byte* keys) {
        return PageView{.keys = keys,
                        .values = keys + tiles * key_bytes,
                        .key_bytes = tiles * key_bytes,
                        .value_bytes = tiles * (tile_bytes - key_bytes),
                        .num_tokens = tokens};
    };
    int64_t i = 0;
    measure(state, static_cast<double>(tiles * tile_bytes),
            2.0 * static_cast<double>(rows * tokens * (key_dim + value_dim)), [&] {
                const PageView page = view(pages.page(i));
                const SoonReads soon = share_out(view(pages.page(++i)), page, rows);
                table.score_bf16(q.data(), key_dim, rows, key_dim, {page.keys, tiles, soon.scores},
                                 scores.data(), tokens);
                table.online_softmax(scores.data(), tokens, rows, tokens, tops.data(), sums.data(),
                                     acc.data(), value_dim, soon.softmax);
                table.sum_bf16(scores.data(), tokens, rows, value_dim,
                               {page.values, tiles, soon.sums}, acc.data(), value_dim);
            });
}

}  // namespace

void add_page_kernels(const KernelTable& table) {
    struct Sizes {
        int64_t rows, key_dim, value_dim;
    };
    // Groups of common models, whole and at a third of the coordinates.
    for (const Sizes s : {Sizes{1, 64, 64}, Sizes{4, 64, 64}, Sizes{7, 64, 64}, Sizes{6, 128, 128},
                          Sizes{1, 21, 21}, Sizes{4, 21, 21}, Sizes{7, 21, 21}, Sizes{6, 43, 42}}) {
        benchmark::RegisterBenchmark(
            name(table, "attend_pages", s.rows, s.key_dim, s.value_dim).c_str(),
            [&table, s](benchmark::State& state) {
                attend_pages(state, table, s.rows, s.key_dim, s.value_dim);
            });
    }
}

}  // namespace lowkey::bench
