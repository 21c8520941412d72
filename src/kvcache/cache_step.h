#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kvcache/sequence_cache.h"

namespace lowkey {

/// What one pass does to some caches, as a whole or not at all: unless it is committed, all heads
/// of some layers that began a step (HeadCache::begin_step()) are rolled back when this ends.
class CacheStep {
public:
    /// Of the layers [first_layer, end_layer).
    CacheStep(std::vector<SequenceCache*> caches, int64_t first_layer, int64_t end_layer)
        : caches_(std::move(caches)), first_layer_(first_layer), end_layer_(end_layer) {}
    CacheStep(const CacheStep&) = delete;
    CacheStep& operator=(const CacheStep&) = delete;
    ~CacheStep();

    /// Commits all heads. What it throws, it throws before any of them changes. The caches' token
    /// counts are the caller's.
    void commit();

private:
    template <typename Fn>
    void for_heads(Fn fn) const;

    std::vector<SequenceCache*> caches_;
    int64_t first_layer_;
    int64_t end_layer_;
};

}  // namespace lowkey
