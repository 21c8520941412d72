#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "kvcache/sequence_cache.h"

namespace lowkey {

/// The part of a batch that belongs to one sequence: its next tokens, and the cache that they join.
struct SequenceInput {
    SequenceCache* cache = nullptr;
    std::span<const int32_t> tokens;
    /// Part of a prompt: attends as the plan's prefill mode says. Otherwise (decoding) through the
    /// cache.
    bool prompt = false;
    /// Tokens of the sequence once its whole prompt is in, when this is a chunk of it: rotary
    /// frequencies can depend on that. 0: the tokens up to the last of these.
    int64_t final_length = 0;
    /// Tokens of the same forward pass that came before these: those of earlier slices.
    int64_t offset = 0;
    int64_t index = 0;  ///< of the sequence in the whole batch
    /// Further caches that take the same prompt: it attends exactly, once, and every cache is
    /// written under its own plan. None of them holds a token yet, nor does `cache`; their layouts
    /// are of the same model.
    std::span<SequenceCache* const> companions = {};

    /// The token that comes first, counted from the sequence's first.
    [[nodiscard]] int64_t first_token() const { return cache->num_tokens() + offset; }
    /// Whether the tokens attend to their own uncompressed keys and values, and are written after.
    [[nodiscard]] bool attends_exactly() const {
        return prompt && (!companions.empty() ||
                          cache->layout().prefill_attention() == PrefillAttention::kExact);
    }
    /// All caches that the tokens join.
    [[nodiscard]] std::vector<SequenceCache*> caches() const {
        std::vector<SequenceCache*> all = {cache};
        all.insert(all.end(), companions.begin(), companions.end());
        return all;
    }
    /// The length that rotary frequencies see.
    [[nodiscard]] int64_t length() const {
        return std::max(final_length, first_token() + static_cast<int64_t>(tokens.size()));
    }
};

/// Tokens of all sequences of a batch.
inline int64_t count_tokens(std::span<const SequenceInput> batch) {
    int64_t n = 0;
    for (const SequenceInput& input : batch) n += static_cast<int64_t>(input.tokens.size());
    return n;
}

}  // namespace lowkey
