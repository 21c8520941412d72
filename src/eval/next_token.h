#pragma once

#include <cstdint>
#include <span>

namespace lowkey {

// What logits say of the next token.

/// Rows of logits [rows, vocab_size] f32 to compute at a time: enough of them for fast matrix
/// products, little beside a model.
int64_t logits_block(int64_t vocab_size);
/// Negative log-likelihood of `target` in nats, in f64.
double nll_of(std::span<const float> logits, int32_t target);
/// The likeliest token, the lowest id among equals.
int32_t likeliest(std::span<const float> logits);

}  // namespace lowkey
