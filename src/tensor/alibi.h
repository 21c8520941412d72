#pragma once

#include <cstdint>
#include <vector>

namespace lowkey {

/// Slopes of ALiBi for `num_heads` > 0 query heads: a score falls by the head's slope per position
/// of distance. Powers 2^(-bias_max · i / n), i = 1 to n, for n heads when n is a power of two;
/// otherwise those of the power of two below, then every second one of the power above. Source:
/// ALiBi (arXiv 2108.12409), section 3 and its published code.
std::vector<float> alibi_slopes(int64_t num_heads, double bias_max = 8);

}  // namespace lowkey
