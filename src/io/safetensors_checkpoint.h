#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "io/safetensors.h"

namespace lowkey {

/// A Hugging Face directory: `config.json`, and `model.safetensors` or else
/// `model.safetensors.index.json` with its shards. Weights stay mapped as long as the object lives.
class SafetensorsCheckpoint final : public Checkpoint {
public:
    /// Throws FileError: not a directory, no config.json, no weights, a name that two shards hold,
    /// a shard path that leaves the directory. A shard that is missing, or that lacks what the
    /// index says of it, is an error of tensor(), for nobody may need what it holds. Throws
    /// UnsupportedError when there are weights, but only as pytorch_model.bin.
    explicit SafetensorsCheckpoint(const std::string& directory);

    [[nodiscard]] const std::string& directory() const override { return directory_; }
    [[nodiscard]] const nlohmann::json& config() const override { return config_; }
    [[nodiscard]] std::string config_path() const override { return file_path("config.json"); }

    [[nodiscard]] bool contains(const std::string& name) const override {
        return where_.contains(name);
    }
    [[nodiscard]] std::string stored_dtype(const std::string& name) const override;
    [[nodiscard]] std::vector<std::string> names() const override;
    [[nodiscard]] bool is_stored() const override { return true; }
    [[nodiscard]] std::vector<std::string> warnings() const override;
    [[nodiscard]] TensorView tensor(const std::string& name, const Shape& shape) const override;
    void release() const override;
    void release_tensor(const TensorView& weight) const override;
    [[nodiscard]] int64_t num_parameters() const override;
    /// A hash of the names, dtypes, shapes and sampled bytes (first, middle and last 256) of all
    /// tensors, independent of sharding and of the order in files, and of the part of `config.json`
    /// that changes what the model computes: all of it but nulls and keys on provenance, training
    /// and generation.
    [[nodiscard]] const std::string& fingerprint() const override { return fingerprint_; }

private:
    void open_shards();
    void open_shard(const std::string& path);
    /// Throws FileError, or UnsupportedError where the weights are there in another format.
    [[noreturn]] void fail_without_weights() const;
    [[noreturn]] void fail_missing(const std::string& name) const;
    [[nodiscard]] std::string file_path(const std::string& name) const {
        return directory_ + "/" + name;
    }

    std::string directory_;
    nlohmann::json config_;
    std::vector<std::unique_ptr<SafetensorsFile>> shards_;
    std::map<std::string, const SafetensorsFile*> where_;
    /// By name, the shards where the index says they are, and which lack them or are not there.
    std::map<std::string, std::string> missing_;
    std::string fingerprint_;
};

}  // namespace lowkey
