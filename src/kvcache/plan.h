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

/// How a token's key or value is written: a codec's name (a row of the tables in codec.cpp), its
/// settings and tensors. Which names exist and what they take is documented with each codec.
struct CodecSpec {
    std::string name = "dense";
    Settings settings;
    std::map<std::string, std::shared_ptr<const Tensor>> tensors;
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
