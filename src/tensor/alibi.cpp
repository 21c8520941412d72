#include "tensor/alibi.h"

#include <bit>
#include <cmath>

namespace lowkey {

std::vector<float> alibi_slopes(int64_t num_heads, double bias_max) {
    const auto below =
        static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(num_heads)));  // a power of two
    std::vector<float> slopes;
    const auto append = [&](double exponent) {
        slopes.push_back(static_cast<float>(std::exp2(-bias_max * exponent)));
    };
    const auto n = static_cast<double>(below);
    for (int64_t i = 1; i <= below; ++i) append(static_cast<double>(i) / n);
    for (int64_t i = 0; below + i < num_heads; ++i)
        append(static_cast<double>(2 * i + 1) / (2 * n));
    return slopes;
}

}  // namespace lowkey
