#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "tensor/tensor.h"

namespace lowkey {

/// A model's `config.json` and weights by name, wherever they come from. Immutable and thread-safe;
/// views of weights live as long as it does.
class Checkpoint {
public:
    Checkpoint() = default;
    virtual ~Checkpoint() = default;
    Checkpoint(const Checkpoint&) = delete;
    Checkpoint& operator=(const Checkpoint&) = delete;

    /// The folder that holds `config.json` and what else belongs to the model.
    [[nodiscard]] virtual const std::string& directory() const = 0;
    [[nodiscard]] virtual const nlohmann::json& config() const = 0;
    [[nodiscard]] virtual std::string config_path() const = 0;

    [[nodiscard]] virtual bool contains(const std::string& name) const = 0;
    /// A weight of exactly this shape in f32, f16, bf16 or f64. Throws FileError naming the tensor,
    /// the file and both shapes, or that it is missing; UnsupportedError when it is stored in any
    /// other dtype.
    [[nodiscard]] virtual TensorView tensor(const std::string& name, const Shape& shape) const = 0;
    /// The same as memory of the caller's own, where the checkpoint makes weights rather than maps
    /// them, so that nobody holds them twice; else empty: take tensor().
    [[nodiscard]] virtual Tensor make_tensor(const std::string& /*name*/,
                                             const Shape& /*shape*/) const {
        return {};
    }
    /// Says that the weights read so far were copied, so that mapped files need not stay in memory.
    virtual void release() const {}
    /// The same of one weight, a view that tensor() gave.
    virtual void release_tensor(const TensorView& /*weight*/) const {}
    /// Elements of all floating-point tensors.
    [[nodiscard]] virtual int64_t num_parameters() const = 0;
    /// Tells what the model computes from what any other does. 32 hex digits.
    [[nodiscard]] virtual const std::string& fingerprint() const = 0;
};

}  // namespace lowkey
