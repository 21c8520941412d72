#pragma once

#include <cstdint>
#include <random>

namespace lowkey {

// std's distributions differ between libraries; the generators do not.

/// A number in [0, 1), of 53 random bits.
inline double uniform_unit(std::mt19937_64& rng) {
    return static_cast<double>(rng() >> 11) * 0x1p-53;
}

/// A whole number in [0, count), each as likely. Source: Lemire, "Fast Random Integer Generation in
/// an Interval" (arXiv 1805.10941).
inline uint64_t uniform_below(std::mt19937_64& rng, uint64_t count) {
    __extension__ using Wide = unsigned __int128;
    Wide product = Wide{rng()} * count;
    // The least results of some ranges would come once too often.
    for (const uint64_t uneven = -count % count; static_cast<uint64_t>(product) < uneven;)
        product = Wide{rng()} * count;
    return static_cast<uint64_t>(product >> 64);
}

}  // namespace lowkey
