#pragma once

#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "io/checkpoint.h"

namespace lowkey {

/// Random weights for a `config.json` alone, for measuring speed: every tensor that is asked for
/// exists, in the shape that is asked for. Matrices [out, in] are of the size of 1 / sqrt(in), so
/// that activations stay of the size of 1; vectors are ones (norms) or, where the name ends in
/// ".bias", zeros. The same seed gives the same weights on every machine.
class RandomCheckpoint final : public Checkpoint {
public:
    /// Of bf16 or f32 weights. Throws FileError when the file cannot be read or is not JSON.
    RandomCheckpoint(std::string config_path, DType dtype, uint64_t seed = 0);

    [[nodiscard]] const std::string& directory() const override { return directory_; }
    [[nodiscard]] const nlohmann::json& config() const override { return config_; }
    [[nodiscard]] std::string config_path() const override { return config_path_; }

    [[nodiscard]] bool contains(const std::string& /*name*/) const override { return true; }
    /// Made when first asked for, on all threads, and kept.
    [[nodiscard]] TensorView tensor(const std::string& name, const Shape& shape) const override;
    /// Made and not kept.
    [[nodiscard]] Tensor make_tensor(const std::string& name, const Shape& shape) const override;
    /// Elements of the tensors that were asked for.
    [[nodiscard]] int64_t num_parameters() const override;
    [[nodiscard]] const std::string& fingerprint() const override { return fingerprint_; }

private:
    std::string config_path_;
    std::string directory_;
    DType dtype_;
    uint64_t seed_;
    nlohmann::json config_;
    std::string fingerprint_;
    mutable std::mutex mutex_;
    mutable std::map<std::string, Tensor> kept_;
    mutable std::map<std::string, int64_t> sizes_;  // of all tensors, in elements
};

}  // namespace lowkey
