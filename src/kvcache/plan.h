#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tensor/tensor.h"

namespace lowkey {

/// One setting of a codec or policy: what JSON can say and no more.
using Setting = std::variant<bool, int64_t, double, std::string>;
using Settings = std::map<std::string, Setting>;

/// How a token's key or value is written: a codec's name (a row of the tables in codec.cpp), its
/// settings and tensors. Which names exist and what they take is documented with each codec.
struct CodecSpec {
    std::string name = "dense";
    Settings settings;
    std::map<std::string, std::shared_ptr<const Tensor>> tensors;
};

/// Which tokens a head remembers: a policy's name (a row of the table in token_policy.cpp) and its
/// settings. n is the length of the sequence's longest prompt; a setting X that says `or share` may
/// come as X_share, a share of n, or as both: the larger counts.
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
    Settings settings;
};

/// What one KV head remembers: which tokens × how their keys and values are written.
struct HeadPlan {
    TokenPolicySpec policy;
    CodecSpec key;
    CodecSpec value;
    /// The first so many tokens of a sequence are kept dense, in a segment of their own before all
    /// others.
    int64_t exact_sinks = 0;
};

/// What a prompt's queries attend to: its own uncompressed keys and values, or what the cache will
/// hold of them. Decoding goes through the cache in either mode.
enum class PrefillAttention { kExact, kCompressed };

/// The whole cache of a model as data: one entry per (layer, KV head). Nothing here says which
/// method chose it.
struct CachePlan {
    PrefillAttention prefill_attention = PrefillAttention::kCompressed;
    std::vector<std::vector<HeadPlan>> layers;  ///< [num_layers][num_kv_heads]

    /// Every token of every head as it is.
    static CachePlan dense(int64_t num_layers, int64_t num_kv_heads);
};

/// The setting as the asked type (an integer also serves as a double); nullopt when absent.
/// Throws UsageError naming `owner` when it has another type.
std::optional<int64_t> integer_setting(const Settings& settings, const std::string& name,
                                       const std::string& owner);
std::optional<double> number_setting(const Settings& settings, const std::string& name,
                                     const std::string& owner);
std::optional<bool> bool_setting(const Settings& settings, const std::string& name,
                                 const std::string& owner);
std::optional<std::string> string_setting(const Settings& settings, const std::string& name,
                                          const std::string& owner);

}  // namespace lowkey
