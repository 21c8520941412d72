#pragma once

#include <cstdint>

#include "kvcache/sequence_cache.h"

namespace lowkey {

/// Fills an empty cache as a prompt of `num_tokens` tokens would: the same tokens are written and
/// forgotten in the same steps (of `chunk_tokens` where the plan attends through the cache), but
/// keys and values are random, in [-1, 1), and so is the attention by which policies select. For
/// measuring speed at a depth without the prefill. Throws BudgetError when the pool is full.
void fill_cache(SequenceCache& cache, int64_t num_tokens, int64_t chunk_tokens);

}  // namespace lowkey
