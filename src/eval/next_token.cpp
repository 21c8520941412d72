#include "eval/next_token.h"

#include <algorithm>

#include "tensor/ops.h"

namespace lowkey {
namespace {

constexpr int64_t kLogitsBytes = int64_t{64} << 20;
constexpr int64_t kMinRows = 16;
constexpr int64_t kMaxRows = 512;

}  // namespace

int64_t logits_block(int64_t vocab_size) {
    return std::clamp(kLogitsBytes / (vocab_size * int64_t{sizeof(float)}), kMinRows, kMaxRows);
}

double nll_of(std::span<const float> logits, int32_t target) {
    return log_sum_exp(logits) - static_cast<double>(logits[static_cast<size_t>(target)]);
}

int32_t likeliest(std::span<const float> logits) {
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace lowkey
