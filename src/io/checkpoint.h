#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace lowkey {

/// The weights and configuration of a Hugging Face directory: `config.json`, and
/// `model.safetensors` or `model.safetensors.index.json` with its shards. Weights stay mapped as
/// long as the object lives.
class Checkpoint {
public:
    /// Throws FileError: not a directory, no config.json, no weights, a shard that is missing, a
    /// name in the index that its shard lacks or that two shards hold, a shard path that leaves the
    /// directory.
    explicit Checkpoint(const std::string& directory);

    [[nodiscard]] const std::string& directory() const { return directory_; }
    [[nodiscard]] const nlohmann::json& config() const { return config_; }
    [[nodiscard]] std::string config_path() const { return directory_ + "/config.json"; }

    [[nodiscard]] bool contains(const std::string& name) const;
    /// A weight of exactly this shape in f32, f16, bf16 or f64. Throws FileError naming the tensor,
    /// the file and both shapes, or that it is missing.
    [[nodiscard]] TensorView tensor(const std::string& name, const Shape& shape) const;
    /// Elements of all weight tensors.
    [[nodiscard]] int64_t num_parameters() const;
    /// Tells this checkpoint from any other: a hash of the names, dtypes, shapes and sampled bytes
    /// of all tensors (independent of sharding and of the order in files) and of `config.json`'s
    /// content that matters to it. 32 hex digits.
    [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }

private:
    std::string directory_;
    nlohmann::json config_;
    std::vector<std::unique_ptr<SafetensorsFile>> shards_;
    std::map<std::string, const SafetensorsFile*> where_;
    std::string fingerprint_;
};

}  // namespace lowkey
