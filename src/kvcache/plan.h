#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lowkey/cache.h"
#include "tensor/tensor.h"

namespace lowkey {

/// A map or a store of a codec: its name (a row of a table), its settings and tensors. Which names
/// exist and what they take is documented with each.
struct CodecPart {
    std::string name;
    Settings settings = {};
    std::map<std::string, std::shared_ptr<const Tensor>> tensors = {};
};

/// How a token's key or value is written: the map turns the vector into coordinates (linear_map.h),
/// the store writes those (stores.h).
struct CodecSpec {
    CodecPart map{"identity"};
    CodecPart store{"float"};
};

/// Whether vectors are kept as they are, in the cache's own dtype.
bool is_plain(const CodecSpec& spec);
/// Coordinates of a vector of `dim` numbers.
int64_t num_coordinates(const CodecSpec& spec, int64_t dim);
/// "float", or the map with its coordinates, and a store that is another: "linear 38", "linear 48,
/// coded".
std::string describe(const CodecSpec& spec);

/// What one KV head remembers: which tokens × how their keys and values are written.
struct HeadPlan {
    TokenPolicySpec policy;
    CodecSpec key;
    CodecSpec value;
    /// The first so many tokens of a sequence are kept dense, in a segment of their own before all
    /// others.
    int64_t exact_sinks = 0;
    /// A query sees at least so many newest tokens dense, its own among them.
    int64_t exact_recent = 0;
};

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
