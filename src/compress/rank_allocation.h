#pragma once

#include <cstdint>
#include <vector>

namespace lowkey {

/// Loss of one KV head at every rank: key[r] and value[r] for r in [0, head_dim], not rising with
/// r. Losses of different heads, keys and values are in one unit and add up.
struct HeadLoss {
    std::vector<double> key;
    std::vector<double> value;
};

struct HeadRanks {
    int64_t key = 1;
    int64_t value = 1;
};

/// Ranks of all heads with the least total loss whose pages take at most `keep` of those of
/// full-rank heads. What counts is what is allocated: a head whose two ranks sum to R keeps 16 ·
/// floor(page_bytes / (16 · R · bytes)) tokens in a page, so between two steps of that number ranks
/// are free. Each head's best split into key and value rank comes by marginal loss, then the heads'
/// lower convex hulls of loss against bytes are descended greedily. `element_bytes`: of one
/// coordinate. Every rank is at least 1; returns those least ranks if even they exceed `keep`.
std::vector<HeadRanks> allocate_ranks(const std::vector<HeadLoss>& heads, double keep,
                                      int64_t page_bytes, int64_t element_bytes);

/// Bytes per token that pages of a head with ranks summing to `coordinates` take.
double page_bytes_per_token(int64_t coordinates, int64_t page_bytes, int64_t element_bytes);

}  // namespace lowkey
