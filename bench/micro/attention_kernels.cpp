#include "bench/micro/benches.h"
#include "kernels/coded.h"

namespace lowkey::bench {
namespace {

// A page of a head of 64 coordinates in bf16 has 16 tiles.
constexpr int64_t kTiles = 8;
constexpr int64_t kTokens = kTiles * kTileTokens;

using Score = decltype(KernelTable::score_bf16);
using Sum = Score;  // of weights, tiles and sums instead

void score(benchmark::State& state, Score kernel, const void* tiles, int64_t element_bytes,
           int64_t dim, int64_t rows) {
    const std::vector<float> q = random_floats(rows * dim);
    std::vector<float> out(static_cast<size_t>(rows * kTokens));
    measure(state, static_cast<double>(kTokens * dim * element_bytes),
            2.0 * static_cast<double>(rows * kTokens * dim), [&] {
                kernel(q.data(), dim, rows, dim, {tiles, kTiles}, out.data(), kTokens);
            });
}

void sum(benchmark::State& state, Sum kernel, const void* tiles, int64_t element_bytes, int64_t dim,
         int64_t rows) {
    const std::vector<float> p = random_floats(rows * kTokens);
    std::vector<float> acc(static_cast<size_t>(rows * dim));
    measure(state, static_cast<double>(kTokens * dim * element_bytes),
            2.0 * static_cast<double>(rows * kTokens * dim), [&] {
                kernel(p.data(), kTokens, rows, dim, {tiles, kTiles}, acc.data(), dim);
            });
}

/// Tiles of random codes whose tokens have scales. A token of 64 coordinates has runs of 5 to 2
/// bits, 3.5 on average; longer ones repeat that.
class CodedTiles {
public:
    explicit CodedTiles(int64_t dim) {
        constexpr uint8_t kWidths[] = {5, 4, 4, 4, 3, 3, 3, 2};
        const int64_t runs = dim / kRunCoords;
        for (int64_t i = 0; i < runs; ++i) widths_.push_back(kWidths[i * 8 / runs]);
        end_ = runs;
        shape_ = {
            .widths = widths_.data(), .runs = runs, .band_ends = &end_, .bands = 1, .scaled = true};
        std::mt19937 random(1);
        data_.resize(static_cast<size_t>(kTiles * shape_.tile_bytes()));
        for (std::byte& b : data_) b = static_cast<std::byte>(random());
    }
    CodedTiles(const CodedTiles&) = delete;
    CodedTiles& operator=(const CodedTiles&) = delete;

    [[nodiscard]] const CodedShape& shape() const { return shape_; }
    [[nodiscard]] Tiles tiles() const { return {data_.data(), kTiles}; }
    [[nodiscard]] double bytes() const { return static_cast<double>(data_.size()); }

private:
    std::vector<uint8_t> widths_;
    int64_t end_ = 0;
    CodedShape shape_;
    std::vector<std::byte> data_;
};

void score_coded(benchmark::State& state, const KernelTable& table, int64_t dim, int64_t rows) {
    const CodedTiles coded(dim);
    const std::vector<float> weights = random_floats(rows * dim);
    std::vector<std::byte> prepared(
        static_cast<size_t>(rows * table.coded_query_bytes(coded.shape())));
    table.prepare_coded(coded.shape(), 0, weights.data(), dim, nullptr, rows, prepared.data());
    std::vector<float> out(static_cast<size_t>(rows * kTokens));
    measure(state, coded.bytes(), 2.0 * static_cast<double>(rows * kTokens * dim), [&] {
        table.score_coded(coded.shape(), prepared.data(), rows, coded.tiles(), out.data(), kTokens);
    });
}

void sum_coded(benchmark::State& state, const KernelTable& table, int64_t dim, int64_t rows) {
    const CodedTiles coded(dim);
    std::vector<float> p = random_floats(rows * kTokens);
    for (float& x : p) x = x * x;
    std::vector<float> acc(static_cast<size_t>(rows * dim));
    measure(state, coded.bytes(), 2.0 * static_cast<double>(rows * kTokens * dim), [&] {
        table.sum_coded(coded.shape(), p.data(), kTokens, rows, coded.tiles(), acc.data(), dim);
    });
}

void prepare_coded(benchmark::State& state, const KernelTable& table, int64_t dim, int64_t rows) {
    const CodedTiles coded(dim);
    const std::vector<float> weights = random_floats(rows * dim);
    std::vector<std::byte> prepared(
        static_cast<size_t>(rows * table.coded_query_bytes(coded.shape())));
    measure(state, 4.0 * static_cast<double>(rows * dim), 0, [&] {
        table.prepare_coded(coded.shape(), 0, weights.data(), dim, nullptr, rows, prepared.data());
    });
}

void online_softmax(benchmark::State& state, const KernelTable& table, int64_t dim, int64_t rows) {
    std::vector<float> scores = random_floats(rows * kTokens);
    std::vector<float> tops(static_cast<size_t>(rows), 2.0f);  // higher than any: nothing shrinks
    std::vector<float> sums(static_cast<size_t>(rows), 1.0f);
    std::vector<float> acc = random_floats(rows * dim);
    // A score takes part in the maximum, is shifted, exponentiated and added.
    const auto scores_of_call = static_cast<double>(rows * kTokens);
    measure(state, 8.0 * scores_of_call, 4.0 * scores_of_call, [&] {
        table.online_softmax(scores.data(), kTokens, rows, kTokens, tops.data(), sums.data(),
                             acc.data(), dim, {});
    });
}

void rotate_tile(benchmark::State& state, const KernelTable& table, int64_t dim) {
    std::vector<float> tile = random_floats(dim * kTileTokens);
    // A turn by 45 degrees keeps the numbers' size.
    const std::vector<float> root(static_cast<size_t>(dim / 2 * kTileTokens), 0.70710678f);
    measure(state, 4.0 * static_cast<double>(2 * dim * kTileTokens),
            3.0 * static_cast<double>(dim * kTileTokens),
            [&] { table.rotate_tile(tile.data(), dim / 2, 1, dim / 2, root.data(), root.data()); });
}

}  // namespace

void add_attention_kernels(const KernelTable& table) {
    for (const int64_t dim : {21, 64, 128}) {
        // One query, the queries of a group, and a block of a prompt's.
        for (const int64_t rows : {1, 4, 7, 64}) {
            const auto add = [&](const char* kernel, auto run) {
                benchmark::RegisterBenchmark(name(table, kernel, dim, rows).c_str(), run);
            };
            add("score_f32", [&table, dim, rows](benchmark::State& state) {
                const std::vector<float> tiles = random_floats(kTokens * dim);
                score(state, table.score_f32, tiles.data(), 4, dim, rows);
            });
            add("score_bf16", [&table, dim, rows](benchmark::State& state) {
                const std::vector<uint16_t> tiles = random_bf16(table, kTokens * dim);
                score(state, table.score_bf16, tiles.data(), 2, dim, rows);
            });
            add("sum_f32", [&table, dim, rows](benchmark::State& state) {
                const std::vector<float> tiles = random_floats(kTokens * dim);
                sum(state, table.sum_f32, tiles.data(), 4, dim, rows);
            });
            add("sum_bf16", [&table, dim, rows](benchmark::State& state) {
                const std::vector<uint16_t> tiles = random_bf16(table, kTokens * dim);
                sum(state, table.sum_bf16, tiles.data(), 2, dim, rows);
            });
            if (dim % kRunCoords != 0) continue;
            add("score_coded", [&table, dim, rows](benchmark::State& state) {
                score_coded(state, table, dim, rows);
            });
            add("sum_coded", [&table, dim, rows](benchmark::State& state) {
                sum_coded(state, table, dim, rows);
            });
            add("prepare_coded", [&table, dim, rows](benchmark::State& state) {
                prepare_coded(state, table, dim, rows);
            });
        }
        for (const int64_t rows : {1, 7, 64}) {
            benchmark::RegisterBenchmark(name(table, "online_softmax", dim, rows).c_str(),
                                         [&table, dim, rows](benchmark::State& state) {
                                             online_softmax(state, table, dim, rows);
                                         });
        }
        if (dim % 2 != 0) continue;
        benchmark::RegisterBenchmark(
            name(table, "rotate_tile", dim).c_str(),
            [&table, dim](benchmark::State& state) { rotate_tile(state, table, dim); });
    }
}

}  // namespace lowkey::bench
