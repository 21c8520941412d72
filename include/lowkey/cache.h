#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>

namespace lowkey {

/// One setting of a planner, codec or policy: what JSON can say and no more.
using Setting = std::variant<bool, int64_t, double, std::string>;
using Settings = std::map<std::string, Setting>;

/// Which tokens a head remembers: a policy's name and its settings. n is the length of the
/// sequence's longest prompt; a setting X that says `or share` may come as X_share, a share of n,
/// or as both: the larger counts.
///   all               every token that the model itself looks at.
///   window            a query at position p sees positions above p - `window` (or share) and below
///                     `sinks` (0 unless given). `compensation`: what leaves the window lives on as
///                     one token. `reindex`: sinks stand right before the window, however far away.
///   heavy_hitters     the newest `recent` (or share), and the `heavy` (or share) others that got
///                     the most attention.
///   prompt_selection  of a prompt `capacity` tokens (or share): the last `observe` (32), and those
///                     that they attend to most, averaged over `kernel` (5) neighbours.
/// Exact sinks are kept whatever the policy says, and count as sinks of a window.
struct TokenPolicySpec {
    std::string name = "all";
    Settings settings = {};
};

/// What a prompt's queries attend to: its own uncompressed keys and values, or what the cache will
/// hold of them. Decoding goes through the cache in either mode.
enum class PrefillAttention { kExact, kCompressed };

/// What a sequence's cache takes, counted from the pages that it holds.
struct CacheUsage {
    int64_t bytes_allocated = 0;  ///< bytes of the sequence's pages, those it shares included
    int64_t bytes_full = 0;  ///< uncompressed: 2 · layers · kv_heads · head_dim · tokens · 2
    int64_t tokens = 0;      ///< of the sequence
    /// Most bytes that held keys and values at a time, of all sequences of the budget and of
    /// prompts that attend exactly, since the last generation began.
    int64_t peak_bytes = 0;
    int64_t pool_bytes = 0;  ///< of pages in use, of all sequences of the budget
    /// bytes_allocated / bytes_full; 0 without tokens.
    [[nodiscard]] double ratio() const {
        return bytes_full > 0
                   ? static_cast<double>(bytes_allocated) / static_cast<double>(bytes_full)
                   : 0;
    }
};

}  // namespace lowkey
