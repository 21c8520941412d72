#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace lowkey {

/// The weights and configuration of a Hugging Face directory: `config.json`, and
/// `model.safetensors` or else `model.safetensors.index.json` with its shards. Weights stay mapped
/// as long as the object lives; reading them is thread-safe.
class Checkpoint {
public:
    /// Throws FileError: not a directory, no config.json, no weights, a shard that is missing, a
    /// name in the index that its shard lacks or that two shards hold, a shard path that leaves the
    /// directory. Throws UnsupportedError when there are weights, but only as pytorch_model.bin.
    explicit Checkpoint(const std::string& directory);

    [[nodiscard]] const std::string& directory() const { return directory_; }
    [[nodiscard]] const nlohmann::json& config() const { return config_; }
    [[nodiscard]] std::string config_path() const { return file_path("config.json"); }

    [[nodiscard]] bool contains(const std::string& name) const { return where_.contains(name); }
    /// A weight of exactly this shape in f32, f16, bf16 or f64. Throws FileError naming the tensor,
    /// the file and both shapes, or that it is missing; UnsupportedError when it is stored in any
    /// other dtype.
    [[nodiscard]] TensorView tensor(const std::string& name, const Shape& shape) const;
    /// Elements of all floating-point tensors.
    [[nodiscard]] int64_t num_parameters() const;
    /// Tells this checkpoint from any other: a hash of the names, dtypes, shapes and sampled bytes
    /// (first, middle and last 256) of all tensors, independent of sharding and of the order in
    /// files, and of the part of `config.json` that changes what the model computes: all of it but
    /// nulls and keys on provenance, training and generation. 32 hex digits.
    [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }

private:
    void open_shards();
    [[nodiscard]] std::string file_path(const std::string& name) const {
        return directory_ + "/" + name;
    }

    std::string directory_;
    nlohmann::json config_;
    std::vector<std::unique_ptr<SafetensorsFile>> shards_;
    std::map<std::string, const SafetensorsFile*> where_;
    std::string fingerprint_;
};

}  // namespace lowkey
