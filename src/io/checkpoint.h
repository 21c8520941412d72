#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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
    /// `config.json`, unchecked, and where it lies, for messages.
    [[nodiscard]] virtual const nlohmann::json& config() const = 0;
    [[nodiscard]] virtual std::string config_path() const = 0;

    /// Whether a tensor of that name can be read, or at least named with its dtype.
    [[nodiscard]] virtual bool contains(const std::string& name) const = 0;
    /// The dtype that a tensor is stored in, as its file names it ("BF16", "F8_E4M3"); empty where
    /// there is none of that name, or where weights are made.
    [[nodiscard]] virtual std::string stored_dtype(const std::string& /*name*/) const { return {}; }
    /// All tensors by name, sorted; none where weights are made.
    [[nodiscard]] virtual std::vector<std::string> names() const { return {}; }
    /// Whether weights come from files, which may be damaged.
    [[nodiscard]] virtual bool is_stored() const { return false; }
    /// What a user should know of the files, a sentence each.
    [[nodiscard]] virtual std::vector<std::string> warnings() const { return {}; }
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
    /// Tells what the model computes from what any other does, cheaply: it need not have seen every
    /// byte (see io/fingerprint.h). 32 hex digits.
    [[nodiscard]] virtual const std::string& fingerprint() const = 0;
};

}  // namespace lowkey
